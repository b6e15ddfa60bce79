//! The state that the requests of programs share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth_throttle::AuthThrottle;
use crate::state::ApiState;

/// The time for which answers in progress continue after the shutdown signal. Connections are kept a little
/// longer, so that a client that still waits receives an error.
const CHAT_DRAIN_TIMEOUT: Duration = Duration::from_secs(9);

/// The time to store the cost of the answers that are ended then.
const CHAT_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The state of the chat routes.
pub(crate) struct ChatService {
    pub(super) state: Arc<ApiState>,
    pub(super) auth_throttle: AuthThrottle,
    /// Permits for answers in progress.
    pub(super) slots: Semaphore,
    pub(super) tasks: TaskTracker,
    /// Cancelled when this replica must end its answers.
    pub(super) closing: CancellationToken,
}

impl ChatService {
    /// Creates the service for at most `slots` answers at once.
    pub(crate) fn start(
        state: Arc<ApiState>,
        auth_throttle: AuthThrottle,
        slots: u32,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let closing = CancellationToken::new();
        tokio::spawn({
            let closing = closing.clone();
            async move {
                shutdown.cancelled().await;
                sleep(CHAT_DRAIN_TIMEOUT).await;
                closing.cancel();
            }
        });
        let slots = Semaphore::new(slots as usize);
        Arc::new(Self { state, auth_throttle, slots, tasks: TaskTracker::new(), closing })
    }

    /// Ends the answers in progress, and waits until their cost is stored.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        let _ = timeout(CHAT_CLOSE_TIMEOUT, self.tasks.wait()).await;
    }
}
