//! The message to reply to, and the thread's status and title around the reply.

use std::sync::Arc;
use std::time::Duration;

use models::InboundMessage;
use slack::{BotAuth, SlackError, ThreadStatus};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::Instrument;

use crate::job::context::JobContext;
use crate::state::ApiState;
use crate::trace_spans;

/// Attempts to clear a status that Slack's rate limit holds back.
const MAX_STATUS_CLEANUP_ATTEMPTS: u32 = 20;

/// Characters of a message that become its thread's title.
const MAX_TITLE_CHARS: usize = 80;

/// The message to reply to, and the means to reply in its thread.
pub(crate) struct ReplyTarget<'a> {
    pub(crate) context: &'a JobContext<'a>,
    pub(crate) message: &'a InboundMessage,
    pub(crate) max_stream_age: Duration,
    status_cleanup: &'a Arc<Semaphore>,
}

impl<'a> ReplyTarget<'a> {
    pub(crate) fn new(state: &'a ApiState, context: &'a JobContext<'a>, message: &'a InboundMessage) -> Self {
        let (max_stream_age, status_cleanup) = (state.max_stream_age, &state.status_cleanup);
        Self { context, message, max_stream_age, status_cleanup }
    }

    /// Sets the thread's status. A failure is logged: no reply depends on the status.
    pub(super) async fn set_status(&self, status: ThreadStatus) {
        let JobContext { slack, bot, job, .. } = self.context;
        match slack.set_status(bot, &job.thread.channel_id, &job.thread.thread_ts, status).await {
            Ok(()) => {}
            Err(SlackError::RateLimited { retry_after, .. }) if status == ThreadStatus::Active => {
                self.clear_status_later(retry_after);
            }
            Err(error) => tracing::warn!(error = %error, "status not set"),
        }
    }

    /// Clears the status in a task of its own. The event does not wait for Slack's rate limit, and without
    /// this people would read "thinking" below a reply until Slack clears it after an hour.
    fn clear_status_later(&self, mut pause: Duration) {
        let Ok(permit) = Arc::clone(self.status_cleanup).try_acquire_owned() else { return };
        // By then the thread is released, and the status must be cleared all the same.
        let bot = BotAuth { send_guard: None, ..self.context.bot.clone() };
        let (slack, thread) = (self.context.slack.clone(), self.context.job.thread.clone());
        let cleared = async move {
            let _permit = permit;
            for _ in 0..MAX_STATUS_CLEANUP_ATTEMPTS {
                sleep(pause.mul_f64(1.0 + rand::random::<f64>())).await;
                let set =
                    slack.set_status(&bot, &thread.channel_id, &thread.thread_ts, ThreadStatus::Active).await;
                match set {
                    Err(SlackError::RateLimited { retry_after, .. }) => pause = retry_after,
                    Err(error) => return tracing::warn!(error = %error, "status not cleared"),
                    Ok(()) => return,
                }
            }
        };
        tokio::spawn(cleared.instrument(trace_spans::task("settle status")));
    }

    /// Sets the thread's title in Slack's list of conversations to the first line of the message.
    pub(super) async fn set_title(&self) {
        let JobContext { slack, bot, job, .. } = self.context;
        let text = self.context.readable_text(&self.message.text);
        let title: String = text.lines().next().unwrap_or_default().chars().take(MAX_TITLE_CHARS).collect();
        let title = title.trim();
        if title.is_empty() {
            return;
        }
        let thread = &job.thread;
        if let Err(error) = slack.set_title(bot, &thread.channel_id, &thread.thread_ts, title).await {
            tracing::info!("thread title not set: {error}");
        }
    }
}
