//! Claims ready threads for the free slots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use db::DbError;
use models::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{interval, timeout};
use tokio_util::task::TaskTracker;

use super::process::process_thread;
use crate::lease::LeaseRegistry;
use crate::state::ApiState;
use crate::{app_metrics, fail_point};

/// The interval at which threads become ready whose lease expired or whose next try is due. It is also the
/// fallback for a lost notification.
const THREAD_WAKE_INTERVAL: Duration = Duration::from_secs(1);

/// The number of threads claimed in one transaction.
const MAX_CLAIM_BATCH: usize = 64;

/// The threads that this replica processes at once.
pub(super) struct ReplySlots {
    free: Arc<Semaphore>,
    total: usize,
}

impl ReplySlots {
    pub(super) fn new(total: u32) -> Self {
        let total = total as usize;
        Self { free: Arc::new(Semaphore::new(total)), total }
    }

    fn acquire(&self, limit: usize) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| Arc::clone(&self.free).try_acquire_owned().ok()).take(limit).collect()
    }
}

/// Never returns.
pub(super) async fn run_claim_loop(
    state: &Arc<ApiState>,
    slots: &ReplySlots,
    leases: &LeaseRegistry,
    tasks: &TaskTracker,
) {
    loop {
        let quota = leases.claim_quota(slots.total);
        let permits = slots.acquire(quota.per_tenant.min(MAX_CLAIM_BATCH));
        let wanted = permits.len();
        let claimed = match wanted {
            0 => Ok(0),
            _ => claim_batch(state, permits, &quota.full_tenants, leases, tasks).await,
        };
        if claimed.is_ok() {
            app_metrics::record_claim(slots.free.available_permits(), slots.total);
        }
        match claimed {
            Ok(count) if count > 0 && count == wanted => continue,
            Ok(_) => {}
            Err(error) => tracing::error!(error = %error, "thread claim failed"),
        }
        let _ = timeout(THREAD_WAKE_INTERVAL, state.work_available.notified()).await;
    }
}

/// Claims a thread for each permit and starts to process it. Returns the number of threads.
async fn claim_batch(
    state: &Arc<ApiState>,
    permits: Vec<OwnedSemaphorePermit>,
    full_tenants: &[TenantId],
    leases: &LeaseRegistry,
    tasks: &TaskTracker,
) -> Result<usize, DbError> {
    let limit = i64::try_from(permits.len()).unwrap_or(i64::MAX);
    let requested_at = Instant::now();
    let claimed = db::with_timeout(async {
        let mut tx = state.db.begin_cross_tenant().await?;
        let claimed = db::threads::claim(&mut tx, limit, full_tenants).await?;
        tx.commit().await?;
        Ok(claimed)
    })
    .await?;
    fail_point::reach("thread_claimed");
    let count = claimed.len();
    for (lease, permit) in claimed.into_iter().zip(permits) {
        let (state, lease) = (Arc::clone(state), leases.register(lease, requested_at));
        tasks.spawn(async move {
            process_thread(&state, &lease).await;
            drop(permit);
            state.work_available.notify_one();
        });
    }
    Ok(count)
}

/// Makes threads ready that are due. Never returns.
pub(super) async fn run_wake_loop(state: Arc<ApiState>) {
    let mut ticks = interval(THREAD_WAKE_INTERVAL);
    loop {
        ticks.tick().await;
        let woken = db::with_timeout(async {
            let mut tx = state.db.begin_cross_tenant().await?;
            let woken = db::threads::wake_due(&mut tx).await?;
            tx.commit().await?;
            Ok(woken)
        });
        match woken.await {
            Ok(0) => {}
            Ok(_) => state.work_available.notify_one(),
            Err(error) => tracing::warn!(error = %error, "due threads not woken"),
        }
    }
}
