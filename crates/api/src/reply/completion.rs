//! The model's part of a reply: reserved, requested, shown as it arrives, stored and charged however it ends.

use std::time::Instant;

use assistant::budget::{BudgetDenied, Charge, ReservationOwner, ReserveRequest, reserve_call};
use assistant::{AnswerSink, CallPhase, CallResult, ModelCall, PartialAnswer, Prompt, complete};
use db::settings::TenantConfig;
use llm::{ModelClient, ModelError};
use tokio_util::sync::CancellationToken;

use super::progress::{release_reservation, store_answer, store_partial};
use super::streaming_message::StreamingMessage;
use crate::job::context::JobContext;
use crate::job::error::JobError;

const EMPTY_ANSWER_TEXT: &str = "Sorry, the model returned an empty answer. Please rephrase your message.";

const STOPPED_TEXT: &str = "_Stopped._";

/// The answer to show and to commit.
pub(super) struct CompletedReply {
    pub(super) text: String,
    pub(super) model: String,
    /// The message as the model received it; `None` if an earlier try sent it.
    pub(super) message_text: Option<String>,
    /// True if the message begins its thread, as far as this try knows.
    pub(super) is_first_in_thread: bool,
    pub(super) is_stopped: bool,
    /// The charge that is not stored yet.
    pub(super) unbilled: Option<Charge>,
    /// The time of the first text in this try.
    pub(super) first_token_at: Option<Instant>,
}

/// The parts of the service that a completion uses.
pub(super) struct CompletionDeps<'a> {
    pub(super) model: &'a ModelClient,
    pub(super) config: &'a TenantConfig,
    pub(super) handoff: &'a CancellationToken,
}

/// The reason why an answer ends early.
enum ReplyEnd {
    /// The person pressed "Stop".
    Stopped,
    /// This replica shuts down.
    Handoff,
    /// The model wrote nothing.
    Empty,
    /// The model or Slack failed.
    Failed(JobError),
}

impl From<ModelError> for ReplyEnd {
    fn from(error: ModelError) -> Self {
        Self::Failed(error.into())
    }
}

/// Shows the answer in the thread.
struct SlackSink<'a, 'b> {
    reply: &'a mut StreamingMessage<'b>,
    stop: &'a CancellationToken,
    handoff: &'a CancellationToken,
}

impl AnswerSink for SlackSink<'_, '_> {
    type End = ReplyEnd;

    async fn show(&mut self, text: &str, _added: &str, is_last: bool) -> Result<(), ReplyEnd> {
        // The whole answer is stored before its end is shown.
        if is_last {
            return Ok(());
        }
        self.reply.show_progress(text).await.map_err(ReplyEnd::Failed)
    }

    async fn interrupted(&mut self, phase: CallPhase) -> ReplyEnd {
        tokio::select! {
            () = self.stop.cancelled() => ReplyEnd::Stopped,
            () = self.handoff.cancelled(), if phase == CallPhase::Reading => ReplyEnd::Handoff,
        }
    }

    fn is_final(interrupt: &ReplyEnd) -> bool {
        matches!(interrupt, ReplyEnd::Stopped)
    }

    fn empty() -> ReplyEnd {
        ReplyEnd::Empty
    }
}

/// Requests the answer, or the rest of it after `text_so_far`. The whole answer is stored before this
/// returns, so that it is paid once.
pub(super) async fn complete_reply(
    deps: &CompletionDeps<'_>,
    context: &JobContext<'_>,
    mut prompt: Prompt,
    text_so_far: String,
    reply: &mut StreamingMessage<'_>,
) -> Result<CompletedReply, JobError> {
    prompt.continue_from(&text_so_far);
    let request = ReserveRequest {
        tenant_id: &context.job.tenant_id,
        user_id: &context.job.user_id,
        config: deps.config,
        messages: &prompt.messages,
        owner: ReservationOwner::Event { lease: &context.lease.lease, seq: context.job.seq },
    };
    let allowance = reserve_call(context.db, deps.model, &request).await?.map_err(denied_error)?;
    let call = ModelCall {
        model: deps.model,
        allowance: &allowance,
        received_at: context.job.received,
        source: "event",
    };
    let mut sink = SlackSink { reply: &mut *reply, stop: context.stop, handoff: deps.handoff };
    let answer = PartialAnswer::sanitized(text_so_far);
    let CallResult { mut text, first_token_at, charge, end } =
        complete(call, &mut prompt, answer, &mut sink).await;
    match (end, charge) {
        (Ok(finished), charge) => {
            let notice = finished.notice.map(str::to_owned);
            for remark in notice.into_iter().chain(prompt.unread_notice()) {
                text.push_str("\n\n");
                text.push_str(&remark);
            }
            let charge = charge.unwrap_or_default();
            store_answer(context, &text, &allowance, &charge).await?;
            Ok(completed_reply(prompt, text, charge.usage.model, None, first_token_at))
        }
        (Err(ReplyEnd::Stopped), charge) => Ok(stopped_reply(prompt, text, charge, first_token_at)),
        (Err(ReplyEnd::Handoff), charge) => {
            let prefix = reply.resumable_prefix(&text);
            store_partial(context, prefix, &allowance, &charge.unwrap_or_default()).await?;
            // The lease is revoked in a moment, which ends this task.
            std::future::pending().await
        }
        (Err(ReplyEnd::Empty), charge) => {
            store_partial(context, "", &allowance, &charge.unwrap_or_default()).await?;
            Err(JobError::fatal("the model's answer was empty", EMPTY_ANSWER_TEXT))
        }
        (Err(ReplyEnd::Failed(error)), Some(charge)) => {
            store_partial(context, reply.resumable_prefix(&text), &allowance, &charge).await?;
            Err(error)
        }
        (Err(ReplyEnd::Failed(error)), None) => {
            release_reservation(context, &allowance).await?;
            Err(error)
        }
    }
}

fn denied_error(denied: BudgetDenied) -> JobError {
    match denied {
        // The unused part of the reservations is released as soon as those answers end.
        BudgetDenied::AllReserved => {
            JobError::Throttled { reason: denied.reason().into(), after: denied.retry_after() }
        }
        denied => JobError::OverBudget(denied),
    }
}

fn completed_reply(
    prompt: Prompt,
    text: String,
    model: String,
    unbilled: Option<Charge>,
    first_token_at: Option<Instant>,
) -> CompletedReply {
    CompletedReply {
        text,
        model,
        message_text: Some(prompt.message_text),
        is_first_in_thread: prompt.is_first_in_thread,
        is_stopped: false,
        unbilled,
        first_token_at,
    }
}

fn stopped_reply(
    prompt: Prompt,
    mut text: String,
    unbilled: Option<Charge>,
    first_token_at: Option<Instant>,
) -> CompletedReply {
    if !text.trim().is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(STOPPED_TEXT);
    let model = unbilled.as_ref().map(|charge| charge.usage.model.clone()).unwrap_or_default();
    CompletedReply { is_stopped: true, ..completed_reply(prompt, text, model, unbilled, first_token_at) }
}
