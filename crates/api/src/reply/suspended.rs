//! What is asked while an operator has suspended the workspace: it ends at once, and costs nothing.

use models::EventOutcome;
use slack::ThreadStatus;

use super::IncomingMessage;
use super::slack_message::StreamingMessage;
use crate::job_context::JobContext;
use crate::job_error::JobError;

const SUSPENDED_TEXT: &str = "Sorry, I do not answer in this workspace at the moment: whoever runs me has suspended it. An admin \
                        here finds the reason in my dashboard.";

impl JobContext<'_> {
    /// Whoever asks is told, once a thread. What stands there of an answer stays, and no stream is left open.
    pub(super) async fn finish_suspended(
        &self,
        question: &IncomingMessage,
    ) -> Result<EventOutcome, JobError> {
        if self.job.is_started {
            StreamingMessage::resume(self, question, &self.load_progress().await?).await?;
            self.set_status(ThreadStatus::Active).await;
        }
        let mut tx = self.begin_fenced().await?;
        // Noted first: better not told than told twice.
        let first = db::threads::mark_suspension_notified(&mut tx, &self.lease_handle.lease).await?;
        tx.commit().await?;
        if first {
            self.post_ephemeral_notice(SUSPENDED_TEXT).await;
        }
        self.finish_unanswered((EventOutcome::Suspended, Some("an operator suspended the workspace"))).await
    }
}
