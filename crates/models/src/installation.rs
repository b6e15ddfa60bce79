//! The bot's installation in a workspace.

use serde::{Deserialize, Serialize};

use crate::{AppId, EnterpriseId, TeamId, TenantId, UserId};

/// An installation without its token, which `db` returns only as a separate secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Installation {
    /// The enterprise of an org-wide install, else the team.
    pub tenant_id: TenantId,
    /// The workspace; `None` for an org-wide install.
    pub team_id: Option<TeamId>,
    /// The organisation, on Enterprise Grid.
    pub enterprise_id: Option<EnterpriseId>,
    /// The name of the workspace or organisation.
    pub name: String,
    /// The Slack app that was installed.
    pub app_id: AppId,
    /// The bot's own user.
    pub bot_user_id: UserId,
    /// The granted scopes, comma-separated as Slack sends them.
    pub scopes: String,
    /// The person who installed the bot.
    pub installed_by: UserId,
}
