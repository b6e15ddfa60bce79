//! Moves committed events into the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use db::PinnedConnection;
use db::event_inbox::EnqueueStats;
use futures_util::FutureExt;
use models::EventOutcome;
use tokio::time::{sleep, timeout};

use crate::app_metrics::count_outcome;
use crate::state::ApiState;

/// The interval at which this replica looks for events that another one stored and did not move.
const ENQUEUE_INTERVAL: Duration = Duration::from_secs(1);

/// The time without work after which the connection is released.
const ENQUEUE_IDLE_TIMEOUT: Duration = Duration::from_millis(100);

/// The number of events in one move from which on it is followed by a pause, if more events were stored
/// meanwhile.
const ENQUEUE_PAUSE_MIN_EVENTS: u64 = 32;

/// The bounds of that pause, which is twice as long as the move took. Acknowledging comes first, and a few
/// large moves cost less than many small ones. Even so thousands of events are moved in a second, and
/// hundreds are answered.
const ENQUEUE_PAUSE_BOUNDS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// Moves this replica's events at once, and at an interval the events that a dead replica left. Never
/// returns.
pub(super) async fn run_enqueue_loop(state: Arc<ApiState>) {
    let mut connection = PinnedConnection::new(&state.db);
    loop {
        let started = Instant::now();
        match db::with_timeout(db::event_inbox::enqueue_pending(&mut connection)).await {
            Ok(Some(moved)) => {
                count_moved(moved);
                state.work_available.notify_one();
                let has_more = state.inbox_written.notified().now_or_never().is_some();
                if has_more && moved.total() >= ENQUEUE_PAUSE_MIN_EVENTS {
                    let (shortest, longest) = ENQUEUE_PAUSE_BOUNDS;
                    sleep((started.elapsed() * 2).clamp(shortest, longest)).await;
                }
                continue;
            }
            Ok(None) => {}
            // Postgres needed its deadlock timeout to notice, so retrying at once is no busy loop.
            Err(error) if error.is_deadlock() => continue,
            Err(error) => tracing::error!(error = %error, "stored events not moved into the queue"),
        }
        if timeout(ENQUEUE_IDLE_TIMEOUT, state.inbox_written.notified()).await.is_err() {
            connection.release();
            let _ = timeout(ENQUEUE_INTERVAL, state.inbox_written.notified()).await;
        }
    }
}

fn count_moved(moved: EnqueueStats) {
    count_outcome(EventOutcome::Duplicate, moved.duplicate);
    count_outcome(EventOutcome::NotForBot, moved.not_for_bot);
    count_outcome(EventOutcome::NotInstalled, moved.not_installed);
}
