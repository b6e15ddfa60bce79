//! What is asked while an operator has suspended the workspace: it ends at once, and costs nothing.

use models::Outcome;
use slack::Status;

use super::Question;
use super::draft::Draft;
use crate::failure::Failure;
use crate::work::Work;

const SENTENCE: &str = "Sorry, I do not answer in this workspace at the moment: whoever runs me has suspended it. An admin \
                        here finds the reason in my dashboard.";

impl Work<'_> {
    /// Whoever asks is told, once a thread. What stands there of an answer stays, and no stream is left open.
    pub(super) async fn settle_suspended(&self, question: &Question) -> Result<Outcome, Failure> {
        if self.job.is_begun {
            Draft::resume(self, question, &self.progress().await?).await?;
            self.set_status(Status::Active).await;
        }
        let mut tx = self.fenced().await?;
        // Noted first: better not told than told twice.
        let first = db::threads::set_suspension_told(&mut tx, &self.held.lease).await?;
        tx.commit().await?;
        if first {
            self.tell_alone(SENTENCE).await;
        }
        self.refuse((Outcome::Suspended, Some("an operator suspended the workspace"))).await
    }
}
