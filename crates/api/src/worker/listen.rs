//! Listens for Postgres's notifications of new events and stops.

use std::sync::Arc;
use std::time::Duration;

use db::{DbError, EventListener, QueueNotification};
use tokio::time::sleep;

use crate::lease::LeaseRegistry;
use crate::state::ApiState;

/// The pause before the listener reconnects.
const EVENT_RECONNECT_DELAY: Duration = Duration::from_secs(5);

/// Passes notifications on. Without a connection for them events are found by polling.
pub(super) async fn run_listen_loop(state: Arc<ApiState>, leases: LeaseRegistry) {
    loop {
        match EventListener::connect(&state.db).await {
            Ok(mut listener) => {
                while let Ok(notification) = listener.recv().await {
                    match notification {
                        QueueNotification::Events => state.work_available.notify_one(),
                        QueueNotification::InboxWritten => state.inbox_written.notify_one(),
                        QueueNotification::Stop(seq) => leases.cancel_event(seq),
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "event listener failed; events are found by polling");
                if matches!(error, DbError::NoDirectSession) {
                    return;
                }
            }
        }
        sleep(EVENT_RECONNECT_DELAY).await;
    }
}
