//! Commits events before they are acknowledged. Many requests share one commit: whatever came while the last one was
//! being written goes into the next, so that more load makes larger batches, not more of them. What is committed is
//! sorted into the queue after that.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use db::deliveries::Sorted;
use db::{Db, DbError, Session};
use futures_util::FutureExt;
use metrics::Counter;
use models::{IgnoredEvent, InboundEvent, Outcome};
use slack::StopRequest;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::app::App;

/// Slack waits three seconds; what is not committed by then comes again.
const DEADLINE: Duration = Duration::from_secs(2);

/// Events that wait for their commit at most; beyond, Slack is told to come again.
const CAPACITY: usize = 8192;

/// Events in one transaction, at most.
const BATCH: usize = 512;

/// Commits at a time: one is written while the next is made up.
const COMMITTERS: usize = 2;

/// A committer without work lets its connection go after this time.
const REST: Duration = Duration::from_millis(100);

/// How often is looked for what another replica stored and did not sort.
const SORT_INTERVAL: Duration = Duration::from_secs(1);

/// Events in one sort from which on there is a pause behind it, if more were stored meanwhile.
const BUSY: u64 = 32;

/// That pause is twice as long as the sort was, within these bounds: acknowledging comes first, and few large sorts cost
/// less than many small ones. Even so thousands are sorted in a second, where answers are given to hundreds.
const SORT_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// Between two batches of what is noted only.
const NOTING_INTERVAL: Duration = Duration::from_millis(200);

/// Why an event was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotStored {
    #[error("too many events wait for their commit")]
    Full,
    #[error("the commit failed")]
    Failed,
    #[error("the commit took too long")]
    Late,
}

struct Pending {
    event: Box<InboundEvent>,
    committed: oneshot::Sender<bool>,
}

/// Where verified events go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inbox {
    app: Arc<App>,
    pending: mpsc::Sender<Pending>,
    ignored: mpsc::Sender<IgnoredEvent>,
}

impl Inbox {
    /// Starts the committers; they end when the last inbox is dropped.
    pub(crate) fn open(app: Arc<App>) -> Self {
        let (pending, receiver) = mpsc::channel(CAPACITY);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..COMMITTERS {
            tokio::spawn(commit_batches(Arc::clone(&app), Arc::clone(&receiver)));
        }
        tokio::spawn(sort(Arc::clone(&app)));
        let (ignored, receiver) = mpsc::channel(CAPACITY);
        tokio::spawn(note_ignored(app.db.clone(), receiver));
        Self { app, pending, ignored }
    }

    /// Returns once the event is committed, and within two seconds in any case.
    pub(crate) async fn commit(&self, event: Box<InboundEvent>) -> Result<(), NotStored> {
        let (committed, answer) = oneshot::channel();
        self.pending.try_send(Pending { event, committed }).map_err(|_| NotStored::Full)?;
        match timeout(DEADLINE, answer).await {
            Ok(Ok(true)) => Ok(()),
            Ok(_) => Err(NotStored::Failed),
            Err(_) => Err(NotStored::Late),
        }
    }

    /// Notes what nothing is done about. Nobody waits for that, and under more load than can be noted it is not.
    pub(crate) fn note(&self, event: IgnoredEvent) {
        let _ = self.ignored.try_send(event);
    }

    /// Stops an answer at once, on whichever replica it is made, and remembers that for whoever takes it over.
    pub(crate) async fn stop(&self, stop: StopRequest) -> Result<(), NotStored> {
        let requested = async {
            let mut tx = self.app.db.begin(&stop.tenant_id).await?;
            let found = db::events::request_stop(&mut tx, &stop.tenant_id, &stop.thread).await?;
            tx.commit().await?;
            Ok(found)
        };
        match timeout(DEADLINE, requested).await {
            Ok(Ok(found)) => {
                count(Outcome::Done, 1);
                self.note(stopped(stop, found));
                Ok(())
            }
            Ok(Err::<_, DbError>(error)) => {
                tracing::error!(error = %error, "a stop was not stored");
                Err(NotStored::Failed)
            }
            Err(_) => Err(NotStored::Late),
        }
    }
}

/// A stop is done at once and not queued; what became of it can be looked up all the same.
fn stopped(stop: StopRequest, found: bool) -> IgnoredEvent {
    let reason = if found { "an answer was stopped" } else { "nothing was being answered in this thread" };
    IgnoredEvent {
        tenant_id: stop.tenant_id,
        event_id: stop.event_id,
        channel_id: Some(stop.thread.channel_id),
        message_ts: None,
        user_id: Some(stop.user_id),
        outcome: Outcome::Done,
        reason: reason.to_owned(),
    }
}

async fn note_ignored(db: Db, mut receiver: mpsc::Receiver<IgnoredEvent>) {
    loop {
        let mut batch = Vec::with_capacity(BATCH);
        if receiver.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let noted = async {
            let mut tx = db.begin_for_all().await?;
            db::ignored_events::insert(&mut tx, &batch).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(error = %error, "{} ignored events were not noted", batch.len());
        }
        // Nobody waits: the longer the pause, the larger the batch.
        sleep(NOTING_INTERVAL).await;
    }
}

async fn commit_batches(app: Arc<App>, receiver: Arc<Mutex<mpsc::Receiver<Pending>>>) {
    let mut session = Session::new(&app.db);
    loop {
        let mut batch = receive(&receiver, &mut session).await;
        if batch.is_empty() {
            return;
        }
        // Those whose request has been answered with 503 by now come again.
        batch.retain(|pending| !pending.committed.is_closed());
        let events: Vec<&InboundEvent> = batch.iter().map(|pending| &*pending.event).collect();
        let committed = match timeout(DEADLINE, db::deliveries::store(&mut session, &events)).await {
            Ok(Ok(not_installed)) => {
                count(Outcome::NotInstalled, not_installed);
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
        app.stored.notify_one();
    }
}

/// What waits by now, or comes next; nothing when nothing more will come.
async fn receive(receiver: &Mutex<mpsc::Receiver<Pending>>, session: &mut Session) -> Vec<Pending> {
    let mut batch = Vec::with_capacity(BATCH);
    if timeout(REST, fill(receiver, &mut batch)).await.is_err() {
        session.rest();
        fill(receiver, &mut batch).await;
    }
    batch
}

async fn fill(receiver: &Mutex<mpsc::Receiver<Pending>>, batch: &mut Vec<Pending>) {
    receiver.lock().await.recv_many(batch, BATCH).await;
}

/// Sorts what was stored into the queue: its own at once, and now and then what a replica that died has left.
async fn sort(app: Arc<App>) {
    let mut session = Session::new(&app.db);
    loop {
        let begun = Instant::now();
        match db::in_time(db::deliveries::sort(&mut session)).await {
            Ok(Some(sorted)) => {
                count_sorted(sorted);
                app.bell.notify_one();
                let is_storing = app.stored.notified().now_or_never().is_some();
                if is_storing && sorted.total() >= BUSY {
                    let (shortest, longest) = SORT_PAUSE;
                    sleep((begun.elapsed() * 2).clamp(shortest, longest)).await;
                }
                continue;
            }
            Ok(None) => {}
            // Postgres took its time to find that out, so this is no haste.
            Err(error) if error.is_deadlock() => continue,
            Err(error) => tracing::error!(error = %error, "what was stored is not sorted yet"),
        }
        if timeout(REST, app.stored.notified()).await.is_err() {
            session.rest();
            let _ = timeout(SORT_INTERVAL, app.stored.notified()).await;
        }
    }
}

fn count_sorted(sorted: Sorted) {
    count(Outcome::Duplicate, sorted.duplicate);
    count(Outcome::NotAddressed, sorted.not_addressed);
    count(Outcome::NotInstalled, sorted.not_installed);
}

/// Counts events that ended.
pub(crate) fn count(outcome: Outcome, events: u64) {
    // Kept, since looking a counter up costs more than all else about a delivery of no interest.
    static COUNTERS: LazyLock<[(Outcome, Counter); Outcome::ALL.len()]> = LazyLock::new(|| {
        let counter =
            |outcome: Outcome| metrics::counter!("enablebot_events_total", "outcome" => outcome.as_str());
        Outcome::ALL.map(|outcome| (outcome, counter(outcome)))
    });
    if let Some((_, counter)) = COUNTERS.iter().find(|(known, _)| *known == outcome) {
        counter.increment(events);
    }
}
