//! One question of a program, from its turn to the end that is kept. It runs in a task of its own: whoever asked may leave at
//! any moment, and what the model was asked for is paid all the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache::Admission;
use models::{ApiScope, Usage};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use super::caller::Caller;
use super::conversation::{ChatConversation, CompletionRecord, new_id};
use super::problem::{Problem, ProblemKind, ceil_seconds};
use super::subject::Subject;
use super::types::{ChatEnd, ChatRequest, ChatUsage};
use super::{ChatService, StreamItem};
use crate::app_metrics::count_rate_limited;
use crate::budget::{Allowance, Charge};
use crate::reply::completion::MAX_ANSWER_BYTES;

/// The longest that an answer may take.
const CHAT_ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// A question in work.
pub(super) struct ChatTask {
    pub(super) service: Arc<ChatService>,
    pub(super) caller: Caller,
    pub(super) request: ChatRequest,
    pub(super) sender: UnboundedSender<StreamItem>,
}

/// An answer as far as it has come.
#[derive(Default)]
struct PartialAnswer {
    text: String,
    usage: Usage,
    first_token_at: Option<Instant>,
    /// Whether the model came to its own end.
    is_complete: bool,
}

impl ChatTask {
    pub(super) async fn run(self) {
        let last = match self.answer().await {
            Ok(end) => StreamItem::End(end),
            Err(problem) => {
                problem.log();
                StreamItem::Problem(problem)
            }
        };
        // Nobody may be there any more.
        let _ = self.sender.send(last);
    }

    async fn answer(&self) -> Result<ChatEnd, Problem> {
        self.caller.require_scope(ApiScope::Chat)?;
        let _slot = self.service.slots.try_acquire().map_err(|_| {
            Problem::new(ProblemKind::Unavailable, "This server begins no more answers just now. Ask again.")
        })?;
        let app = &self.service.app;
        let asker = Subject::resolve(app, &self.caller, self.request.user_id.as_deref()).await?;
        let named = self.request.conversation_id.as_deref();
        let conversation = ChatConversation::open(app, &self.caller, asker, named).await?;
        let answered = self.answer_in_conversation(&conversation).await;
        if answered.is_err() {
            conversation.release_lease().await;
        }
        answered
    }

    async fn answer_in_conversation(&self, conversation: &ChatConversation<'_>) -> Result<ChatEnd, Problem> {
        self.check_rate_limit().await?;
        let begun = Instant::now();
        let prompt = conversation.build_messages(&self.request.message);
        let (purse, seq) = conversation.reserve_budget(&prompt).await?;
        let (mut spoken, message_id) = (PartialAnswer::default(), new_id("m_"));
        let read = tokio::select! {
            read = self.read_stream(&purse, &prompt, &mut spoken) => read,
            problem = self.wait_for_interrupt(conversation) => Err(problem),
        };
        let taken = match spoken.usage.model.as_str() {
            "" => Charge::default(),
            _ => purse.charge_for(&spoken.usage, &prompt, &spoken.text),
        };
        self.record_metrics(begun, &spoken, &taken);
        let (first_word_at, asked_at) = (spoken.first_token_at, begun);
        let deed = |broke_off| CompletionRecord {
            message_id: &message_id,
            seq,
            charge: &taken,
            asked_at,
            first_token_at: first_word_at,
            is_partial: broke_off,
        };
        let kept = match read {
            Ok(()) => conversation.commit_answer(&self.request.message, &spoken.text, &deed(false)).await,
            Err(problem) => Err(problem),
        };
        match kept {
            Ok(is_ending) => {
                if is_ending {
                    conversation.spawn_budget_alert(&self.service);
                }
                metrics::histogram!("enablebot_reply_seconds").record(begun.elapsed().as_secs_f64());
                Ok(spoken.into_end(conversation.id(), message_id, taken.usage))
            }
            Err(problem) => {
                self.settle_partial(conversation, &deed(true)).await?;
                Err(problem)
            }
        }
    }

    /// A model that took the question is paid for it; where none did, others may have what was held.
    async fn settle_partial(
        &self,
        conversation: &ChatConversation<'_>,
        deed: &CompletionRecord<'_>,
    ) -> Result<(), Problem> {
        if !deed.charge.usage.model.is_empty() {
            if conversation.commit_cost(deed).await? {
                conversation.spawn_budget_alert(&self.service);
            }
        } else if let Some(seq) = deed.seq {
            conversation.release_reservation(seq).await;
        }
        Ok(())
    }

    fn record_metrics(&self, begun: Instant, spoken: &PartialAnswer, taken: &Charge) {
        if !taken.usage.model.is_empty() {
            self.service.app.model.count_tokens(&taken.usage);
        }
        if let Some(at) = spoken.first_token_at {
            metrics::histogram!("enablebot_reply_first_token_seconds").record((at - begun).as_secs_f64());
            metrics::histogram!("enablebot_first_word_seconds").record((at - begun).as_secs_f64());
        }
    }

    /// Above a limit nothing is done, and no turn is kept.
    async fn check_rate_limit(&self) -> Result<(), Problem> {
        let turn = self.service.app.rate_limiter.try_acquire(&self.caller.tenant_id).await;
        let (pause, whose) = match turn {
            Admission::Allowed => return Ok(()),
            Admission::QueuedFor(after) => (after, "The workspace's limit"),
            Admission::RetryAfter(after) => (after, "The limit of this server"),
        };
        count_rate_limited(turn);
        let detail = format!("{whose} is used up. Ask again in {} seconds.", ceil_seconds(pause));
        Err(Problem::new(ProblemKind::OverLimit, detail).with_retry_after(pause))
    }

    /// Asks the model and passes on its words as they come.
    async fn read_stream(
        &self,
        purse: &Allowance,
        prompt: &[Value],
        spoken: &mut PartialAnswer,
    ) -> Result<(), Problem> {
        let mut answer = self.service.app.model.stream_completion(&purse.selection, prompt).await?;
        spoken.usage.clone_from(answer.usage());
        let mut is_cut = false;
        while let Some(words) = answer.next().await? {
            spoken.first_token_at.get_or_insert_with(Instant::now);
            spoken.text.push_str(&words);
            spoken.usage.clone_from(answer.usage());
            let _ = self.sender.send(StreamItem::Delta(words));
            is_cut = spoken.text.len() > MAX_ANSWER_BYTES;
            if is_cut {
                break;
            }
        }
        spoken.usage.clone_from(answer.usage());
        spoken.is_complete = !is_cut && answer.finish_notice().is_none();
        if spoken.text.trim().is_empty() {
            return Err(Problem::new(
                ProblemKind::ModelFailed,
                "The model had nothing to say to this. Ask in other words.",
            ));
        }
        Ok(())
    }

    /// What may end an answer from outside.
    async fn wait_for_interrupt(&self, conversation: &ChatConversation<'_>) -> Problem {
        tokio::select! {
            () = self.sender.closed() => Problem::new(ProblemKind::Unavailable, "Whoever asked has left."),
            () = self.service.closing.cancelled() => Problem::shutting_down(),
            () = sleep(CHAT_ANSWER_TIMEOUT) => Problem::new(
                ProblemKind::TooSlow,
                format!("The answer took longer than {} seconds. Ask for less.", CHAT_ANSWER_TIMEOUT.as_secs()),
            ),
            problem = conversation.renew_lease_until_lost() => problem,
        }
    }
}

impl PartialAnswer {
    fn into_end(self, conversation_id: &str, message_id: String, usage: Usage) -> ChatEnd {
        let Usage { model, prompt_tokens, completion_tokens } = usage;
        ChatEnd {
            conversation_id: conversation_id.to_owned(),
            message_id,
            model,
            complete: self.is_complete,
            usage: ChatUsage { prompt_tokens, completion_tokens },
        }
    }
}
