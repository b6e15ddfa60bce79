//! Writes pending events in batches, one commit for each.

use std::sync::Arc;
use std::time::Duration;

use db::PinnedConnection;
use db::event_inbox::BatchResult;
use models::{EventOutcome, InboundEvent};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use crate::app_metrics::count_outcome;
use crate::state::ApiState;

/// Parallel commits: one batch is written while the next is collected.
const COMMITTER_TASKS: usize = 2;

/// The number of events in one transaction.
const MAX_BATCH_EVENTS: usize = 512;

/// The time without work after which a committer releases its connection.
const COMMITTER_IDLE_TIMEOUT: Duration = Duration::from_millis(100);

/// An event that waits for its commit.
pub(super) struct PendingEvent {
    event: Box<InboundEvent>,
    committed: oneshot::Sender<bool>,
}

impl PendingEvent {
    /// Returns the event with a receiver that reports whether it was committed.
    pub(super) fn new(event: Box<InboundEvent>) -> (Self, oneshot::Receiver<bool>) {
        let (committed, receiver) = oneshot::channel();
        (Self { event, committed }, receiver)
    }
}

/// Starts the committers. They end when the sender is dropped.
pub(super) fn spawn(state: &Arc<ApiState>, receiver: mpsc::Receiver<PendingEvent>, commit_timeout: Duration) {
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..COMMITTER_TASKS {
        tokio::spawn(commit_batches(Arc::clone(state), Arc::clone(&receiver), commit_timeout));
    }
}

async fn commit_batches(
    state: Arc<ApiState>,
    receiver: Arc<Mutex<mpsc::Receiver<PendingEvent>>>,
    commit_timeout: Duration,
) {
    let mut connection = PinnedConnection::new(&state.db);
    loop {
        let mut batch = receive_batch(&receiver, &mut connection).await;
        if batch.is_empty() {
            return;
        }
        // Events whose requests have already been answered with 503 will be sent again.
        batch.retain(|pending| !pending.committed.is_closed());
        let stored = commit_batch(&mut connection, &batch, commit_timeout).await;
        for PendingEvent { event, committed } in batch {
            let is_stored = |stored: &BatchResult| !stored.failed_tenants.contains(&event.tenant_id);
            let _ = committed.send(stored.as_ref().is_some_and(is_stored));
        }
        state.inbox_written.notify_one();
    }
}

/// Stores a batch; returns `None` if nothing of it was stored.
async fn commit_batch(
    connection: &mut PinnedConnection,
    batch: &[PendingEvent],
    commit_timeout: Duration,
) -> Option<BatchResult> {
    let events: Vec<&InboundEvent> = batch.iter().map(|pending| &*pending.event).collect();
    match timeout(commit_timeout, db::event_inbox::append_batch(connection, &events)).await {
        Ok(Ok(stored)) => {
            count_outcome(EventOutcome::NotInstalled, stored.not_installed);
            Some(stored)
        }
        Ok(Err(error)) => {
            tracing::error!(error = %error, "batch of {} events not stored", events.len());
            None
        }
        Err(_) => None,
    }
}

/// Returns the events that wait, or the next ones; none once the sender is dropped.
async fn receive_batch(
    receiver: &Mutex<mpsc::Receiver<PendingEvent>>,
    connection: &mut PinnedConnection,
) -> Vec<PendingEvent> {
    let mut batch = Vec::with_capacity(MAX_BATCH_EVENTS);
    if timeout(COMMITTER_IDLE_TIMEOUT, fill_batch(receiver, &mut batch)).await.is_err() {
        connection.release();
        fill_batch(receiver, &mut batch).await;
    }
    batch
}

async fn fill_batch(receiver: &Mutex<mpsc::Receiver<PendingEvent>>, batch: &mut Vec<PendingEvent>) {
    receiver.lock().await.recv_many(batch, MAX_BATCH_EVENTS).await;
}
