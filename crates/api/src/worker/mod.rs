//! Claims threads, drains each in order, and keeps the leases on them.

mod delay_notices;
mod housekeeping;
mod leases;
mod process;
mod rate_limited;

use std::sync::Arc;
use std::time::{Duration, Instant};

use db::{DbError, EventListener, QueueNotification};
use models::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::state::ApiState;
use crate::{app_metrics, fail_point};
pub(crate) use leases::LeaseHandle;
use leases::LeaseRegistry;

/// How often threads are woken whose lease ran out or whose next try is due; also the fallback for a lost NOTIFY.
const THREAD_WAKE_INTERVAL: Duration = Duration::from_secs(1);

/// Threads leased in one transaction, at most.
const MAX_CLAIM_BATCH: usize = 64;

/// How long answers in work may go on after the signal; what is left is handed to the other replicas.
const WORKER_DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// How long it may take then to keep what there is of them.
const HANDOFF_TIMEOUT: Duration = Duration::from_secs(1);

/// Works until `shutdown`, on at most `slots` threads at a time; with none, others do.
pub(crate) async fn run(app: Arc<ApiState>, slots: u32, shutdown: CancellationToken) {
    if slots == 0 {
        return shutdown.cancelled().await;
    }
    let leases = LeaseRegistry::default();
    let (tasks, helpers) = (TaskTracker::new(), CancellationToken::new());
    let _stopped = helpers.clone().drop_guard();
    tokio::spawn(
        helpers.clone().run_until_cancelled_owned(run_listen_loop(Arc::clone(&app), leases.clone())),
    );
    tokio::spawn(helpers.clone().run_until_cancelled_owned(run_wake_loop(Arc::clone(&app))));
    tokio::spawn(helpers.clone().run_until_cancelled_owned(housekeeping::run(Arc::clone(&app))));
    tokio::spawn(helpers.clone().run_until_cancelled_owned(delay_notices::run(Arc::clone(&app))));
    tokio::spawn(helpers.run_until_cancelled_owned(leases.clone().run_renew_loop(Arc::clone(&app))));

    let slots = ReplySlots { free: Arc::new(Semaphore::new(slots as usize)), total: slots as usize };
    let claiming = run_claim_loop(&app, &slots, &leases, &tasks);
    let _ = shutdown.run_until_cancelled(claiming).await;
    tasks.close();
    if timeout(WORKER_DRAIN_TIMEOUT, tasks.wait()).await.is_err() {
        app.handoff.cancel();
        let _ = timeout(HANDOFF_TIMEOUT, tasks.wait()).await;
        leases.release_all(&app.db).await;
    }
}

/// What this replica works on at once.
struct ReplySlots {
    free: Arc<Semaphore>,
    total: usize,
}

/// Never returns.
async fn run_claim_loop(
    app: &Arc<ApiState>,
    slots: &ReplySlots,
    leases: &LeaseRegistry,
    tasks: &TaskTracker,
) {
    loop {
        let room = leases.claim_quota(slots.total);
        let permits = acquire_free(&slots.free, room.per_tenant.min(MAX_CLAIM_BATCH));
        let wanted = permits.len();
        let claimed = match wanted {
            0 => Ok(0),
            _ => claim_batch(app, permits, &room.full_tenants, leases, tasks).await,
        };
        if claimed.is_ok() {
            app_metrics::record_claim(slots.free.available_permits(), slots.total);
        }
        match claimed {
            Ok(count) if count > 0 && count == wanted => continue,
            Ok(_) => {}
            Err(error) => tracing::error!(error = %error, "threads cannot be claimed"),
        }
        let _ = timeout(THREAD_WAKE_INTERVAL, app.work_available.notified()).await;
    }
}

fn acquire_free(free: &Arc<Semaphore>, limit: usize) -> Vec<OwnedSemaphorePermit> {
    std::iter::from_fn(|| Arc::clone(free).try_acquire_owned().ok()).take(limit).collect()
}

/// Claims a thread for each free slot and starts to drain it; returns how many that were.
async fn claim_batch(
    app: &Arc<ApiState>,
    permits: Vec<OwnedSemaphorePermit>,
    full: &[TenantId],
    leases: &LeaseRegistry,
    tasks: &TaskTracker,
) -> Result<usize, DbError> {
    let limit = i64::try_from(permits.len()).unwrap_or(i64::MAX);
    let asked_at = Instant::now();
    let claimed = db::with_timeout(async {
        let mut tx = app.db.begin_cross_tenant().await?;
        let claimed = db::threads::claim(&mut tx, limit, full).await?;
        tx.commit().await?;
        Ok(claimed)
    })
    .await?;
    fail_point::reach("thread_claimed");
    let count = claimed.len();
    for (lease, permit) in claimed.into_iter().zip(permits) {
        let (app, held) = (Arc::clone(app), leases.register(lease, asked_at));
        tasks.spawn(async move {
            process::process_thread(&app, &held).await;
            drop(permit);
            app.work_available.notify_one();
        });
    }
    Ok(count)
}

async fn run_wake_loop(app: Arc<ApiState>) {
    let mut ticks = interval(THREAD_WAKE_INTERVAL);
    loop {
        ticks.tick().await;
        let woken = db::with_timeout(async {
            let mut tx = app.db.begin_cross_tenant().await?;
            let woken = db::threads::wake_due(&mut tx).await?;
            tx.commit().await?;
            Ok(woken)
        });
        match woken.await {
            Ok(0) => {}
            Ok(_) => app.work_available.notify_one(),
            Err(error) => tracing::warn!(error = %error, "threads cannot be woken"),
        }
    }
}

/// Rings for what is new and stops what is unwanted; without a session for it, polling goes on.
async fn run_listen_loop(app: Arc<ApiState>, leases: LeaseRegistry) {
    loop {
        match EventListener::connect(&app.db).await {
            Ok(mut listener) => {
                while let Ok(notice) = listener.recv().await {
                    match notice {
                        QueueNotification::Events => app.work_available.notify_one(),
                        QueueNotification::InboxWritten => app.inbox_written.notify_one(),
                        QueueNotification::Stop(seq) => leases.cancel_event(seq),
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "no session hears of new events; they are found by polling");
                if matches!(error, DbError::NoDirectSession) {
                    return;
                }
            }
        }
        sleep(Duration::from_secs(5)).await;
    }
}
