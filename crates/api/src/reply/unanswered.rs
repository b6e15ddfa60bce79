//! The ends of a message that gets no answer, or only a part of one.

use assistant::budget::BudgetDenied;
use db::usage::UsageOutcome;
use models::EventOutcome;
use slack::{Buttons, SlackError, ThreadStatus};

use super::notices::post_ephemeral_notice;
use super::streaming_message::StreamingMessage;
use super::target::ReplyTarget;
use crate::job::context::{JobContext, OutcomeWithReason, finish_event};
use crate::job::error::JobError;

const SUSPENDED_TEXT: &str = "Sorry, I do not answer in this workspace at the moment: the operator of this \
     server has suspended it. An admin can find the reason in my dashboard.";

const MONTH_BUDGET_TEXT: &str = "This workspace has used its monthly budget. It resets when the next month \
     begins. An admin can raise it in my dashboard, under Settings.";

const DAY_BUDGET_TEXT: &str = "You've reached today's limit. It resets at 00:00 UTC. An admin can raise it \
     in my dashboard, under Settings.";

/// Appended to the part of an answer that was paid for.
const BUDGET_BREAK_OFF_TEXT: &str =
    "_My answer ends here because the budget is used up. An admin can raise it in my dashboard._";

/// Appended to a partial answer after the last try.
const BROKEN_OFF_TEXT: &str = "_My answer ends here because a service I depend on is not working._";

/// Ends a message that was stopped while no worker processed it. The text that is there stays, and no stream
/// is left open.
pub(super) async fn finish_stopped(target: &ReplyTarget<'_>) -> Result<EventOutcome, JobError> {
    StreamingMessage::resume(target).await?;
    target.set_status(ThreadStatus::Active).await;
    let ending = (EventOutcome::Stopped, Some("stopped before it was answered"));
    finish_unanswered(target.context, ending).await
}

/// Ends a message in a workspace that an operator has suspended. It costs nothing, and the person is told
/// once per thread. The text that is there stays, and no stream is left open.
pub(super) async fn finish_suspended(target: &ReplyTarget<'_>) -> Result<EventOutcome, JobError> {
    let context = target.context;
    if context.job.is_started {
        StreamingMessage::resume(target).await?;
        target.set_status(ThreadStatus::Active).await;
    }
    // This is stored first: a notice that gets lost is better than two.
    let mut tx = context.begin_fenced().await?;
    let is_first = db::threads::mark_suspension_notified(&mut tx, &context.lease.lease).await?;
    tx.commit().await?;
    if is_first {
        post_ephemeral_notice(context, SUSPENDED_TEXT).await;
    }
    let ending = (EventOutcome::Suspended, Some("an operator suspended the workspace"));
    finish_unanswered(context, ending).await
}

/// Ends a message for which the budget does not suffice.
pub(super) async fn post_over_budget(
    target: &ReplyTarget<'_>,
    denied: BudgetDenied,
) -> Result<EventOutcome, JobError> {
    let (mut reply, progress) = StreamingMessage::resume(target).await?;
    match progress.partial_text {
        Some(text) => reply.finish(&format!("{text}\n\n{BUDGET_BREAK_OFF_TEXT}"), None).await?,
        None if denied == BudgetDenied::PersonDay => reply.replace(DAY_BUDGET_TEXT, None).await?,
        None => reply.replace(MONTH_BUDGET_TEXT, None).await?,
    }
    target.set_status(ThreadStatus::Active).await;
    finish_unanswered(target.context, (EventOutcome::Refused, Some(denied.reason()))).await
}

/// Posts the notice in the reply's message, or in a new one, and offers a retry. A partial answer stays, and
/// the notice is appended to it. Without a notice only the status is cleared.
pub(crate) async fn post_failure_notice(
    target: &ReplyTarget<'_>,
    notice: Option<&'static str>,
) -> Result<(), JobError> {
    let posted = match notice {
        Some(notice) => show_failure_notice(target, notice).await,
        None => Ok(()),
    };
    target.set_status(ThreadStatus::Active).await;
    posted
}

async fn show_failure_notice(target: &ReplyTarget<'_>, notice: &'static str) -> Result<(), JobError> {
    let (mut reply, progress) = StreamingMessage::resume(target).await?;
    let Some(text) = progress.partial_text else {
        return reply.replace(notice, Some(Buttons::TryAgain)).await;
    };
    let text = format!("{text}\n\n{BROKEN_OFF_TEXT}");
    match reply.finish(&text, Some(Buttons::TryAgain)).await {
        // The partial answer may be what Slack refuses.
        Err(JobError::Slack(SlackError::Api { .. })) => {
            let (mut reply, _) = StreamingMessage::resume(target).await?;
            reply.replace(notice, Some(Buttons::TryAgain)).await
        }
        shown => shown,
    }
}

/// Ends a message without an answer. It is counted in the usage table if it was meant for the bot.
pub(super) async fn finish_unanswered(
    context: &JobContext<'_>,
    ending: OutcomeWithReason,
) -> Result<EventOutcome, JobError> {
    let (outcome, reason) = ending;
    let mut tx = context.begin_fenced().await?;
    if outcome != EventOutcome::NotForBot {
        let ended = UsageOutcome { outcome, reason, since_first_token: None };
        db::usage::record(&mut tx, &context.job.tenant_id, context.job.seq, ended).await?;
    }
    finish_event(tx, context.job, ending).await
}
