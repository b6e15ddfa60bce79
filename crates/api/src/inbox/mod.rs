//! Commits events before they are acknowledged. Many requests share one commit: events that arrive during a
//! commit go into the next one, so more load makes larger batches instead of more of them. A background task
//! then moves the committed events into the queue.

mod committer;
mod enqueue;
mod ignored;

use std::sync::Arc;
use std::time::Duration;

use db::{Db, DbError};
use models::{EventOutcome, IgnoredEvent, InboundEvent};
use slack::StopRequest;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::app_metrics::count_outcome;
use crate::state::ApiState;
use committer::PendingEvent;

/// The time that a commit may take. Slack waits for three seconds, and sends an event that is not committed
/// again.
const INBOX_COMMIT_TIMEOUT: Duration = Duration::from_secs(2);

/// The number of events that wait for their commit; beyond it Slack must send them again.
const MAX_PENDING_EVENTS: usize = 8192;

/// The reason why an event was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InboxError {
    #[error("too many events wait for their commit")]
    QueueFull,
    #[error("the commit failed")]
    CommitFailed,
    #[error("the commit timed out")]
    CommitTimeout,
}

/// The entry for verified events. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inbox {
    db: Db,
    pending: mpsc::Sender<PendingEvent>,
    ignored: mpsc::Sender<IgnoredEvent>,
}

impl Inbox {
    /// Starts the committers, which end when the last inbox is dropped.
    pub(crate) fn start(state: Arc<ApiState>) -> Self {
        let (pending, receiver) = mpsc::channel(MAX_PENDING_EVENTS);
        committer::spawn(&state, receiver, INBOX_COMMIT_TIMEOUT);
        tokio::spawn(enqueue::run_enqueue_loop(Arc::clone(&state)));
        let (ignored, receiver) = mpsc::channel(MAX_PENDING_EVENTS);
        tokio::spawn(ignored::write_ignored_batches(state.db.clone(), receiver));
        Self { db: state.db.clone(), pending, ignored }
    }

    /// Waits until the event is committed, for at most two seconds.
    pub(crate) async fn commit_event(&self, event: Box<InboundEvent>) -> Result<(), InboxError> {
        let (pending, committed) = PendingEvent::new(event);
        self.pending.try_send(pending).map_err(|_| InboxError::QueueFull)?;
        match timeout(INBOX_COMMIT_TIMEOUT, committed).await {
            Ok(Ok(true)) => Ok(()),
            Ok(_) => Err(InboxError::CommitFailed),
            Err(_) => Err(InboxError::CommitTimeout),
        }
    }

    /// Records an event that is ignored, without waiting. Under more load than can be recorded it is dropped.
    pub(crate) fn record_ignored(&self, event: IgnoredEvent) {
        let _ = self.ignored.try_send(event);
    }

    /// Stops the reply in a thread at once, on whichever replica it runs, and stores that for a replica that
    /// takes it over.
    pub(crate) async fn request_stop(&self, stop: StopRequest) -> Result<(), InboxError> {
        let requested = async {
            let mut tx = self.db.begin(&stop.tenant_id).await?;
            let found = db::events::request_stop(&mut tx, &stop.tenant_id, &stop.thread).await?;
            tx.commit().await?;
            Ok(found)
        };
        match timeout(INBOX_COMMIT_TIMEOUT, requested).await {
            Ok(Ok(found)) => {
                count_outcome(EventOutcome::Done, 1);
                self.record_ignored(stop_record(stop, found));
                Ok(())
            }
            Ok(Err::<_, DbError>(error)) => {
                tracing::error!(error = %error, "stop request not stored");
                Err(InboxError::CommitFailed)
            }
            Err(_) => Err(InboxError::CommitTimeout),
        }
    }
}

/// Returns the record of a stop request, which is not queued but can be looked up like an event.
fn stop_record(stop: StopRequest, found: bool) -> IgnoredEvent {
    let reason = if found { "a reply was stopped" } else { "no reply was in progress in this thread" };
    IgnoredEvent {
        tenant_id: stop.tenant_id,
        event_id: stop.event_id,
        channel_id: Some(stop.thread.channel_id),
        message_ts: None,
        user_id: Some(stop.user_id),
        outcome: EventOutcome::Done,
        reason: reason.to_owned(),
    }
}
