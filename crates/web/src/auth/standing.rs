//! Roles of people in their workspace, as Slack reports them.

use db::DbError;
use models::{TenantId, UserId};
use slack::{BotAuth, SlackError};

use crate::state::WebState;

/// A person's role in the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlackRole {
    Admin,
    Member,
    /// The account is deactivated.
    Deactivated,
}

/// Fetches a person's role from Slack, with the workspace's own token.
pub(crate) async fn fetch_slack_role(
    app: &WebState,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<SlackRole, SlackError> {
    let installed = async { db::installations::find(&mut app.db.begin(tenant_id).await?, tenant_id).await };
    let Ok::<_, DbError>(Some(installed)) = installed.await else { return Ok(SlackRole::Member) };
    let bot =
        BotAuth { tenant_id: tenant_id.clone(), token: installed.bot_token, team_id: None, send_guard: None };
    let user = app.slack.fetch_user(&bot, user_id).await?;
    Ok(match (user.is_deleted, user.is_admin) {
        (true, _) => SlackRole::Deactivated,
        (false, true) => SlackRole::Admin,
        (false, false) => SlackRole::Member,
    })
}
