//! The identity behind a call to Slack.

use models::{TeamId, TenantId};
use secrecy::SecretString;

use crate::SendGuard;

/// The bot of one tenant, and its token.
#[derive(Clone, Debug)]
pub struct BotAuth {
    /// The tenant, for which Slack counts rate limits separately.
    pub tenant_id: TenantId,
    /// The bot token.
    pub token: SecretString,
    /// The workspace that a call concerns, sent as `team_id`, in an org-wide install; else `None`.
    /// Source: <https://docs.slack.dev/enterprise/developing-for-enterprise-orgs>
    pub team_id: Option<TeamId>,
    /// The guard that fails calls with [`crate::SlackError::LeaseLost`] once the job's lease is lost. `None`
    /// without a lease.
    pub send_guard: Option<SendGuard>,
}
