//! One request of a program, from its checks to the committed answer. It runs in a task of its own: the
//! client may leave at any moment, and the model is paid all the same.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assistant::{AnswerSink, CallPhase, CallResult, ModelCall, PartialAnswer, complete};
use cache::Admission;
use models::{ApiScope, Usage};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::sleep;
use tracing::{Instrument, Span};

use super::caller::Caller;
use super::conversation::{ChatConversation, EndedAnswer, new_id};
use super::problem::{Problem, ceil_seconds};
use super::problem_kind::ProblemKind;
use super::service::ChatService;
use super::subject::Subject;
use super::types::{ChatEnd, ChatRequest, ChatUsage};
use crate::app_metrics::count_rate_limited;
use crate::trace_spans;

/// The longest time that an answer may take.
const CHAT_ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// A piece of an answer in progress. The last item is an `End` or a `Problem`.
#[derive(Debug)]
pub(crate) enum StreamItem {
    /// The next text.
    Delta(String),
    /// The answer is complete and stored.
    End(ChatEnd),
    /// The answer ended early, or there is none.
    Problem(Problem),
}

/// Starts to answer. Dropping the receiver ends the answer. The channel is unbounded, because an answer is
/// bounded.
pub(crate) fn start_chat(
    service: &Arc<ChatService>,
    caller: Caller,
    request: ChatRequest,
) -> UnboundedReceiver<StreamItem> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let task = ChatTask { service: Arc::clone(service), caller, request, sender };
    service.tasks.spawn(task.run().instrument(Span::current()).instrument(trace_spans::task("answer")));
    receiver
}

/// A request in progress.
struct ChatTask {
    service: Arc<ChatService>,
    caller: Caller,
    request: ChatRequest,
    sender: UnboundedSender<StreamItem>,
}

/// Sends the answer to the client.
struct ChatSink<'a> {
    sender: &'a UnboundedSender<StreamItem>,
    interrupt: Pin<Box<dyn Future<Output = Problem> + Send + 'a>>,
}

impl AnswerSink for ChatSink<'_> {
    type End = Problem;

    async fn show(&mut self, _text: &str, added: &str, _is_last: bool) -> Result<(), Problem> {
        let _ = self.sender.send(StreamItem::Delta(added.to_owned()));
        Ok(())
    }

    async fn interrupted(&mut self, _phase: CallPhase) -> Problem {
        self.interrupt.as_mut().await
    }

    fn is_final(_interrupt: &Problem) -> bool {
        true
    }

    fn empty() -> Problem {
        Problem::new(ProblemKind::ModelFailed, "The model returned an empty answer. Rephrase the message.")
    }
}

impl ChatTask {
    async fn run(self) {
        let last = match self.answer().await {
            Ok(end) => StreamItem::End(end),
            Err(problem) => {
                problem.log();
                StreamItem::Problem(problem)
            }
        };
        // The client may have left.
        let _ = self.sender.send(last);
    }

    async fn answer(&self) -> Result<ChatEnd, Problem> {
        self.caller.require_scope(ApiScope::Chat)?;
        let _slot = self.service.slots.try_acquire().map_err(|_| {
            Problem::new(ProblemKind::Unavailable, "This server has no free capacity. Try again.")
        })?;
        let state = &self.service.state;
        let subject = Subject::resolve(state, &self.caller, self.request.user_id.as_deref()).await?;
        let conversation_id = self.request.conversation_id.as_deref();
        let conversation = ChatConversation::open(state, &self.caller, subject, conversation_id).await?;
        let answered = self.answer_in_conversation(&conversation).await;
        if answered.is_err() {
            conversation.release_lease().await;
        }
        answered
    }

    async fn answer_in_conversation(&self, conversation: &ChatConversation<'_>) -> Result<ChatEnd, Problem> {
        self.check_rate_limit().await?;
        let asked_at = Instant::now();
        let mut prompt = conversation.build_prompt(&self.request.message);
        let allowance = conversation.reserve_budget(&prompt.messages).await?;
        let model = &self.service.state.model;
        let call = ModelCall { model, allowance: &allowance, received_at: asked_at, source: "request" };
        let interrupt = Box::pin(self.wait_for_interrupt(conversation));
        let mut sink = ChatSink { sender: &self.sender, interrupt };
        let CallResult { text, first_token_at, charge, end } =
            complete(call, &mut prompt, PartialAnswer::default(), &mut sink).await;
        // It may be suspended within a renewal of the lease, whose row the commit needs.
        drop(sink);
        let message_id = new_id("m_");
        let ended = EndedAnswer {
            message_id: &message_id,
            reserved_seq: allowance.reserved_seq,
            charge: charge.as_ref(),
            asked_at,
            first_token_at,
        };
        let committed = match end {
            Ok(finished) => {
                let committed = conversation.commit_answer(prompt.message_text, text, &ended).await;
                committed.map(|is_alert_due| (finished.is_whole, is_alert_due))
            }
            Err(problem) => Err(problem),
        };
        let (is_whole, is_alert_due) = match committed {
            Ok(committed) => committed,
            Err(problem) => {
                self.settle_partial(conversation, &ended).await?;
                return Err(problem);
            }
        };
        if is_alert_due {
            conversation.spawn_budget_alert(&self.service);
        }
        metrics::histogram!("enablebot_reply_seconds").record(asked_at.elapsed().as_secs_f64());
        let usage = charge.unwrap_or_default().usage;
        Ok(chat_end(conversation.id(), message_id, is_whole, usage))
    }

    /// Stores the cost of an answer that is not remembered. If no model accepted the request, the reservation
    /// is released.
    async fn settle_partial(
        &self,
        conversation: &ChatConversation<'_>,
        ended: &EndedAnswer<'_>,
    ) -> Result<(), Problem> {
        if ended.charge.is_some() {
            if conversation.commit_cost(ended).await? {
                conversation.spawn_budget_alert(&self.service);
            }
        } else if let Some(seq) = ended.reserved_seq {
            conversation.release_reservation(seq).await;
        }
        Ok(())
    }

    /// Refuses a request above a limit; unlike a message in Slack it is not queued.
    async fn check_rate_limit(&self) -> Result<(), Problem> {
        let admission = self.service.state.rate_limiter.try_acquire(&self.caller.tenant_id).await;
        let (pause, whose) = match admission {
            Admission::Allowed => return Ok(()),
            Admission::QueuedFor(after) => (after, "The workspace's rate limit"),
            Admission::RetryAfter(after) => (after, "The rate limit of this server"),
        };
        count_rate_limited(admission);
        let detail = format!("{whose} is used up. Try again in {} seconds.", ceil_seconds(pause));
        Err(Problem::new(ProblemKind::OverLimit, detail).with_retry_after(pause))
    }

    /// Waits until the answer must end early.
    async fn wait_for_interrupt(&self, conversation: &ChatConversation<'_>) -> Problem {
        tokio::select! {
            () = self.sender.closed() => Problem::new(ProblemKind::Unavailable, "The client closed the \
                                                                                 connection."),
            () = self.service.closing.cancelled() => Problem::shutting_down(),
            () = sleep(CHAT_ANSWER_TIMEOUT) => Problem::new(
                ProblemKind::TooSlow,
                format!(
                    "The answer took longer than {} seconds. Ask for a shorter one.",
                    CHAT_ANSWER_TIMEOUT.as_secs()
                ),
            ),
            problem = conversation.renew_lease_until_lost() => problem,
        }
    }
}

fn chat_end(conversation_id: &str, message_id: String, complete: bool, usage: Usage) -> ChatEnd {
    let Usage { model, prompt_tokens, completion_tokens } = usage;
    let conversation_id = conversation_id.to_owned();
    ChatEnd {
        conversation_id,
        message_id,
        model,
        complete,
        usage: ChatUsage { prompt_tokens, completion_tokens },
    }
}
