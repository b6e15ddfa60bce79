//! The buttons under replies.

use models::{EventId, EventOutcome};

use crate::job::context::{JobContext, finish_event};
use crate::job::error::JobError;

/// Stores a rating of the event that was answered, without any text.
pub(crate) async fn store_feedback(
    context: &JobContext<'_>,
    event_id: &EventId,
    is_positive: bool,
) -> Result<EventOutcome, JobError> {
    let job = context.job;
    let mut tx = context.begin_fenced().await?;
    if db::events::is_open(&mut tx, &job.tenant_id, job.seq).await? {
        db::feedback::upsert(&mut tx, &job.tenant_id, event_id, &job.user_id, is_positive).await?;
    }
    finish_event(tx, job, (EventOutcome::Done, None)).await
}

/// Retries a dead-lettered event.
pub(crate) async fn redrive_event(
    context: &JobContext<'_>,
    event_id: &EventId,
) -> Result<EventOutcome, JobError> {
    let job = context.job;
    let mut tx = context.begin_fenced().await?;
    let is_redriven = db::dead_letters::redrive(&mut tx, &job.tenant_id, event_id).await?;
    let reason = (!is_redriven).then_some("there was no failed event to retry");
    finish_event(tx, job, (EventOutcome::Done, reason)).await
}
