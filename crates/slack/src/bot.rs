//! Who calls Slack.

use models::{TeamId, TenantId};
use secrecy::SecretString;

use crate::SendGuard;

/// The bot of one tenant.
#[derive(Clone, Debug)]
pub struct BotAuth {
    /// Whose bot it is; Slack's limits are kept apart by it.
    pub tenant_id: TenantId,
    /// What it calls Slack with.
    pub token: SecretString,
    /// In an org-wide install the workspace that a call is about, sent as `team_id` on every call; else `None`.
    /// Source: <https://docs.slack.dev/enterprise/developing-for-enterprise-orgs>
    pub team_id: Option<TeamId>,
    /// Where others may go on with the work: whether they do not yet. A call after that is [`crate::SlackError::LeaseLost`].
    pub send_guard: Option<SendGuard>,
}
