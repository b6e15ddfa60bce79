//! The clients, limits and signals that the parts of `api` share.

use std::sync::Arc;
use std::time::Duration;

use cache::{RateLimiter, WorkspaceCache};
use db::Db;
use llm::ModelClient;
use models::BudgetCeiling;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::settings::SlackApp;

/// The state of the process. It has no methods; `server` builds it.
pub(crate) struct ApiState {
    pub(crate) db: Db,
    pub(crate) slack: slack::Client,
    pub(crate) model: ModelClient,
    pub(crate) rate_limiter: RateLimiter,
    /// Encrypted installations and settings of workspaces, for [`crate::workspace_loader`].
    pub(crate) workspace_cache: WorkspaceCache,
    /// The credentials of the Slack app, which only refreshing tokens needs.
    pub(crate) slack_app: Option<SlackApp>,
    /// The time for which a stream is appended to, before the reply continues in the next message.
    pub(crate) max_stream_age: Duration,
    /// Days between an uninstall and the deletion of the data.
    pub(crate) uninstall_grace_days: i32,
    /// The most that a workspace may spend in a month.
    pub(crate) budget_ceiling: BudgetCeiling,
    /// Days for which finished events are kept.
    pub(crate) event_retention_days: i32,
    /// Permits for statuses that are cleared later.
    pub(crate) status_cleanup: Arc<Semaphore>,
    /// Cancelled when replies in progress are about to be handed to other replicas.
    pub(crate) handoff: CancellationToken,
    /// Notified when there may be events to move into the queue.
    pub(crate) inbox_written: Notify,
    /// Notified when there may be threads to claim.
    pub(crate) work_available: Notify,
}
