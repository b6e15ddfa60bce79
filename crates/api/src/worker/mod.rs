//! Claims threads, processes each thread's events in order, and keeps the leases on them.

mod claim;
mod delay_notices;
mod failure;
mod housekeeping;
mod listen;
mod process;
mod rate_limited;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::lease::LeaseRegistry;
use crate::state::ApiState;
use claim::ReplySlots;

/// The time for which replies in progress continue after the shutdown signal. The rest is handed to other
/// replicas.
const WORKER_DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// The time to store the progress of the rest.
const HANDOFF_TIMEOUT: Duration = Duration::from_secs(1);

/// Processes at most `slots` threads at a time until `shutdown`. With no slots this replica only receives.
pub(crate) async fn run(state: Arc<ApiState>, slots: u32, shutdown: CancellationToken) {
    if slots == 0 {
        return shutdown.cancelled().await;
    }
    let leases = LeaseRegistry::default();
    let (tasks, helpers) = (TaskTracker::new(), CancellationToken::new());
    let _stop_helpers = helpers.clone().drop_guard();
    let helper = || helpers.clone();
    tokio::spawn(
        helper().run_until_cancelled_owned(listen::run_listen_loop(Arc::clone(&state), leases.clone())),
    );
    tokio::spawn(helper().run_until_cancelled_owned(claim::run_wake_loop(Arc::clone(&state))));
    tokio::spawn(helper().run_until_cancelled_owned(housekeeping::run(Arc::clone(&state))));
    tokio::spawn(helper().run_until_cancelled_owned(delay_notices::run(Arc::clone(&state))));
    tokio::spawn(helper().run_until_cancelled_owned(leases.clone().run_renew_loop(state.db.clone())));

    let slots = ReplySlots::new(slots);
    let _ = shutdown.run_until_cancelled(claim::run_claim_loop(&state, &slots, &leases, &tasks)).await;
    tasks.close();
    if timeout(WORKER_DRAIN_TIMEOUT, tasks.wait()).await.is_err() {
        state.handoff.cancel();
        let _ = timeout(HANDOFF_TIMEOUT, tasks.wait()).await;
        leases.release_all(&state.db).await;
    }
}
