//! Commits events before they are acknowledged. Many requests share one commit: whatever came while the last one was
//! being written goes into the next, so that more load makes larger batches, not more of them. What is committed is
//! sorted into the queue after that.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use db::event_inbox::EnqueueStats;
use db::{Db, DbError, PinnedConnection};
use futures_util::FutureExt;
use metrics::Counter;
use models::{EventOutcome, IgnoredEvent, InboundEvent};
use slack::StopRequest;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::state::ApiState;

/// Slack waits three seconds; what is not committed by then comes again.
const INBOX_COMMIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Events that wait for their commit at most; beyond, Slack is told to come again.
const MAX_PENDING_EVENTS: usize = 8192;

/// Events in one transaction, at most.
const MAX_BATCH_EVENTS: usize = 512;

/// Commits at a time: one is written while the next is made up.
const COMMITTER_TASKS: usize = 2;

/// A committer without work lets its connection go after this time.
const IDLE_RELEASE_TIMEOUT: Duration = Duration::from_millis(100);

/// How often is looked for what another replica stored and did not sort.
const ENQUEUE_INTERVAL: Duration = Duration::from_secs(1);

/// Events in one sort from which on there is a pause behind it, if more were stored meanwhile.
const ENQUEUE_PAUSE_MIN_EVENTS: u64 = 32;

/// That pause is twice as long as the sort was, within these bounds: acknowledging comes first, and few large sorts cost
/// less than many small ones. Even so thousands are sorted in a second, where answers are given to hundreds.
const ENQUEUE_PAUSE_BOUNDS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// Between two batches of what is noted only.
const IGNORED_FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// Why an event was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InboxError {
    #[error("too many events wait for their commit")]
    QueueFull,
    #[error("the commit failed")]
    CommitFailed,
    #[error("the commit took too long")]
    CommitTimeout,
}

struct PendingEvent {
    event: Box<InboundEvent>,
    committed: oneshot::Sender<bool>,
}

/// Where verified events go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inbox {
    app: Arc<ApiState>,
    pending: mpsc::Sender<PendingEvent>,
    ignored: mpsc::Sender<IgnoredEvent>,
}

impl Inbox {
    /// Starts the committers; they end when the last inbox is dropped.
    pub(crate) fn start(app: Arc<ApiState>) -> Self {
        let (pending, receiver) = mpsc::channel(MAX_PENDING_EVENTS);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..COMMITTER_TASKS {
            tokio::spawn(commit_batches(Arc::clone(&app), Arc::clone(&receiver)));
        }
        tokio::spawn(run_enqueue_loop(Arc::clone(&app)));
        let (ignored, receiver) = mpsc::channel(MAX_PENDING_EVENTS);
        tokio::spawn(write_ignored_batches(app.db.clone(), receiver));
        Self { app, pending, ignored }
    }

    /// Returns once the event is committed, and within two seconds in any case.
    pub(crate) async fn commit_event(&self, event: Box<InboundEvent>) -> Result<(), InboxError> {
        let (committed, answer) = oneshot::channel();
        self.pending.try_send(PendingEvent { event, committed }).map_err(|_| InboxError::QueueFull)?;
        match timeout(INBOX_COMMIT_TIMEOUT, answer).await {
            Ok(Ok(true)) => Ok(()),
            Ok(_) => Err(InboxError::CommitFailed),
            Err(_) => Err(InboxError::CommitTimeout),
        }
    }

    /// Notes what nothing is done about. Nobody waits for that, and under more load than can be noted it is not.
    pub(crate) fn record_ignored(&self, event: IgnoredEvent) {
        let _ = self.ignored.try_send(event);
    }

    /// Stops an answer at once, on whichever replica it is made, and remembers that for whoever takes it over.
    pub(crate) async fn request_stop(&self, stop: StopRequest) -> Result<(), InboxError> {
        let requested = async {
            let mut tx = self.app.db.begin(&stop.tenant_id).await?;
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
                tracing::error!(error = %error, "a stop was not stored");
                Err(InboxError::CommitFailed)
            }
            Err(_) => Err(InboxError::CommitTimeout),
        }
    }
}

/// A stop is done at once and not queued; what became of it can be looked up all the same.
fn stop_record(stop: StopRequest, found: bool) -> IgnoredEvent {
    let reason = if found { "an answer was stopped" } else { "nothing was being answered in this thread" };
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

async fn write_ignored_batches(db: Db, mut receiver: mpsc::Receiver<IgnoredEvent>) {
    loop {
        let mut batch = Vec::with_capacity(MAX_BATCH_EVENTS);
        if receiver.recv_many(&mut batch, MAX_BATCH_EVENTS).await == 0 {
            return;
        }
        let noted = async {
            let mut tx = db.begin_cross_tenant().await?;
            db::ignored_events::insert(&mut tx, &batch).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(error = %error, "{} ignored events were not noted", batch.len());
        }
        // Nobody waits: the longer the pause, the larger the batch.
        sleep(IGNORED_FLUSH_INTERVAL).await;
    }
}

async fn commit_batches(app: Arc<ApiState>, receiver: Arc<Mutex<mpsc::Receiver<PendingEvent>>>) {
    let mut session = PinnedConnection::new(&app.db);
    loop {
        let mut batch = receive_batch(&receiver, &mut session).await;
        if batch.is_empty() {
            return;
        }
        // Those whose request has been answered with 503 by now come again.
        batch.retain(|pending| !pending.committed.is_closed());
        let events: Vec<&InboundEvent> = batch.iter().map(|pending| &*pending.event).collect();
        let committed =
            match timeout(INBOX_COMMIT_TIMEOUT, db::event_inbox::append_batch(&mut session, &events)).await {
                Ok(Ok(not_installed)) => {
                    count_outcome(EventOutcome::NotInstalled, not_installed);
                    true
                }
                Ok(Err(error)) => {
                    tracing::error!(error = %error, "a batch of {} events was not stored", events.len());
                    false
                }
                Err(_) => false,
            };
        for pending in batch {
            let _ = pending.committed.send(committed);
        }
        app.inbox_written.notify_one();
    }
}

/// What waits by now, or comes next; nothing when nothing more will come.
async fn receive_batch(
    receiver: &Mutex<mpsc::Receiver<PendingEvent>>,
    session: &mut PinnedConnection,
) -> Vec<PendingEvent> {
    let mut batch = Vec::with_capacity(MAX_BATCH_EVENTS);
    if timeout(IDLE_RELEASE_TIMEOUT, fill_batch(receiver, &mut batch)).await.is_err() {
        session.release();
        fill_batch(receiver, &mut batch).await;
    }
    batch
}

async fn fill_batch(receiver: &Mutex<mpsc::Receiver<PendingEvent>>, batch: &mut Vec<PendingEvent>) {
    receiver.lock().await.recv_many(batch, MAX_BATCH_EVENTS).await;
}

/// Sorts what was stored into the queue: its own at once, and now and then what a replica that died has left.
async fn run_enqueue_loop(app: Arc<ApiState>) {
    let mut session = PinnedConnection::new(&app.db);
    loop {
        let begun = Instant::now();
        match db::with_timeout(db::event_inbox::enqueue_pending(&mut session)).await {
            Ok(Some(sorted)) => {
                count_enqueued(sorted);
                app.work_available.notify_one();
                let is_storing = app.inbox_written.notified().now_or_never().is_some();
                if is_storing && sorted.total() >= ENQUEUE_PAUSE_MIN_EVENTS {
                    let (shortest, longest) = ENQUEUE_PAUSE_BOUNDS;
                    sleep((begun.elapsed() * 2).clamp(shortest, longest)).await;
                }
                continue;
            }
            Ok(None) => {}
            // Postgres took its time to find that out, so this is no haste.
            Err(error) if error.is_deadlock() => continue,
            Err(error) => tracing::error!(error = %error, "what was stored is not sorted yet"),
        }
        if timeout(IDLE_RELEASE_TIMEOUT, app.inbox_written.notified()).await.is_err() {
            session.release();
            let _ = timeout(ENQUEUE_INTERVAL, app.inbox_written.notified()).await;
        }
    }
}

fn count_enqueued(sorted: EnqueueStats) {
    count_outcome(EventOutcome::Duplicate, sorted.duplicate);
    count_outcome(EventOutcome::NotForBot, sorted.not_for_bot);
    count_outcome(EventOutcome::NotInstalled, sorted.not_installed);
}

/// Counts events that ended.
pub(crate) fn count_outcome(outcome: EventOutcome, events: u64) {
    // Kept, since looking a counter up costs more than all else about a delivery of no interest.
    static COUNTERS: LazyLock<[(EventOutcome, Counter); EventOutcome::ALL_OUTCOMES.len()]> = LazyLock::new(
        || {
            let counter = |outcome: EventOutcome| metrics::counter!("enablebot_events_total", "outcome" => outcome.as_str());
            EventOutcome::ALL_OUTCOMES.map(|outcome| (outcome, counter(outcome)))
        },
    );
    if let Some((_, counter)) = COUNTERS.iter().find(|(known, _)| *known == outcome) {
        counter.increment(events);
    }
}
