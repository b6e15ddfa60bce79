//! The bot in a workspace.

use serde::{Deserialize, Serialize};

use crate::{AppId, EnterpriseId, TeamId, TenantId, UserId};

/// What an install leaves behind, without its token: that leaves `db` only as a secret of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Installation {
    /// The enterprise of an org-wide install, else the team.
    pub tenant_id: TenantId,
    /// The workspace; `None` for an org-wide install.
    pub team_id: Option<TeamId>,
    /// The organisation, on Enterprise Grid.
    pub enterprise_id: Option<EnterpriseId>,
    /// What people call the workspace or organisation.
    pub name: String,
    /// The Slack app that was installed.
    pub app_id: AppId,
    /// The bot's own user.
    pub bot_user_id: UserId,
    /// What was granted, comma-separated as Slack sends it.
    pub scopes: String,
    /// Who installed it.
    pub installed_by: UserId,
}
