//! Claims threads, drains each in order, and keeps the leases on them.

mod backlog;
mod drain;
mod housekeeping;
mod leases;
mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use db::{DbError, Listener, Notice};
use models::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::{fail_point, measure};
pub(crate) use leases::HeldLease;
use leases::Leases;

/// How often threads are woken whose lease ran out or whose next try is due; also the fallback for a lost NOTIFY.
const WAKE_INTERVAL: Duration = Duration::from_secs(1);

/// Threads leased in one transaction, at most.
const CLAIM: usize = 64;

/// How long answers in work may go on after the signal; what is left is handed to the other replicas.
const DRAIN: Duration = Duration::from_secs(20);

/// How long it may take then to keep what there is of them.
const KEEPING: Duration = Duration::from_secs(1);

/// Works until `shutdown`, on at most `slots` threads at a time; with none, others do.
pub(crate) async fn run(app: Arc<App>, slots: u32, shutdown: CancellationToken) {
    if slots == 0 {
        return shutdown.cancelled().await;
    }
    let leases = Leases::default();
    let (tasks, helpers) = (TaskTracker::new(), CancellationToken::new());
    let _stopped = helpers.clone().drop_guard();
    tokio::spawn(helpers.clone().run_until_cancelled_owned(listen(Arc::clone(&app), leases.clone())));
    tokio::spawn(helpers.clone().run_until_cancelled_owned(wake(Arc::clone(&app))));
    tokio::spawn(helpers.clone().run_until_cancelled_owned(housekeeping::run(Arc::clone(&app))));
    tokio::spawn(helpers.clone().run_until_cancelled_owned(backlog::run(Arc::clone(&app))));
    tokio::spawn(helpers.run_until_cancelled_owned(leases.clone().keep(Arc::clone(&app))));

    let slots = Slots { free: Arc::new(Semaphore::new(slots as usize)), all: slots as usize };
    let claiming = claim_threads(&app, &slots, &leases, &tasks);
    let _ = shutdown.run_until_cancelled(claiming).await;
    tasks.close();
    if timeout(DRAIN, tasks.wait()).await.is_err() {
        app.leaving.cancel();
        let _ = timeout(KEEPING, tasks.wait()).await;
        leases.hand_back(&app.db).await;
    }
}

/// What this replica works on at once.
struct Slots {
    free: Arc<Semaphore>,
    all: usize,
}

/// Never returns.
async fn claim_threads(app: &Arc<App>, slots: &Slots, leases: &Leases, tasks: &TaskTracker) {
    loop {
        let room = leases.room(slots.all);
        let permits = take_free(&slots.free, room.each.min(CLAIM));
        let wanted = permits.len();
        let claimed = match wanted {
            0 => Ok(0),
            _ => claim(app, permits, &room.full, leases, tasks).await,
        };
        if claimed.is_ok() {
            measure::note_claim(slots.free.available_permits(), slots.all);
        }
        match claimed {
            Ok(count) if count > 0 && count == wanted => continue,
            Ok(_) => {}
            Err(error) => tracing::error!(error = %error, "threads cannot be claimed"),
        }
        let _ = timeout(WAKE_INTERVAL, app.bell.notified()).await;
    }
}

fn take_free(free: &Arc<Semaphore>, limit: usize) -> Vec<OwnedSemaphorePermit> {
    std::iter::from_fn(|| Arc::clone(free).try_acquire_owned().ok()).take(limit).collect()
}

/// Claims a thread for each free slot and starts to drain it; returns how many that were.
async fn claim(
    app: &Arc<App>,
    permits: Vec<OwnedSemaphorePermit>,
    full: &[TenantId],
    leases: &Leases,
    tasks: &TaskTracker,
) -> Result<usize, DbError> {
    let limit = i64::try_from(permits.len()).unwrap_or(i64::MAX);
    let asked_at = Instant::now();
    let claimed = db::in_time(async {
        let mut tx = app.db.begin_for_all().await?;
        let claimed = db::threads::claim(&mut tx, limit, full).await?;
        tx.commit().await?;
        Ok(claimed)
    })
    .await?;
    fail_point::reach("thread_claimed");
    let count = claimed.len();
    for (lease, permit) in claimed.into_iter().zip(permits) {
        let (app, held) = (Arc::clone(app), leases.hold(lease, asked_at));
        tasks.spawn(async move {
            drain::drain(&app, &held).await;
            drop(permit);
            app.bell.notify_one();
        });
    }
    Ok(count)
}

async fn wake(app: Arc<App>) {
    let mut ticks = interval(WAKE_INTERVAL);
    loop {
        ticks.tick().await;
        let woken = db::in_time(async {
            let mut tx = app.db.begin_for_all().await?;
            let woken = db::threads::wake(&mut tx).await?;
            tx.commit().await?;
            Ok(woken)
        });
        match woken.await {
            Ok(0) => {}
            Ok(_) => app.bell.notify_one(),
            Err(error) => tracing::warn!(error = %error, "threads cannot be woken"),
        }
    }
}

/// Rings for what is new and stops what is unwanted; without a session for it, polling goes on.
async fn listen(app: Arc<App>, leases: Leases) {
    loop {
        match Listener::connect(&app.db).await {
            Ok(mut listener) => {
                while let Ok(notice) = listener.heard().await {
                    match notice {
                        Notice::Events => app.bell.notify_one(),
                        Notice::Deliveries => app.stored.notify_one(),
                        Notice::Stop(seq) => leases.stop(seq),
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "no session hears of new events; they are found by polling");
                if matches!(error, DbError::NoSession) {
                    return;
                }
            }
        }
        sleep(Duration::from_secs(5)).await;
    }
}
