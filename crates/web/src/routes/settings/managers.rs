//! The managers of a workspace: admins name them, and take the naming back.

use std::collections::HashMap;
use std::sync::Arc;

use assistant::Standing;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::audit_log::AuditAction;
use db::managers::NamedManager;
use db::{DbError, Tx};
use models::{TenantId, UserId};
use serde::Deserialize;
use serde_json::json;

use super::SettingsPage;
use super::field_errors::is_user_id;
use crate::auth::standing::{StandingError, ask_slack, slack_unavailable};
use crate::auth::{ConfirmedAdmin, CurrentUser, WorkspaceAdmin};
use crate::page::{ActionLink, ErrorPage, render_page};
use crate::routes::responses::{database_error, malformed_form, redirect_or_404};
use crate::state::WebState;

const MANAGERS_PATH: &str = "/dashboard/settings?saved=yes#managers";

/// Reasons a person was not named.
const NO_USER_ID: &str = "Enter a Slack user id like U0123456789, from the person's Slack profile.";
const OUTSIDER: &str = "Only members with a full account can manage EnableBot: no guests, no bots, and nobody of \
                        another organisation.";
const GONE: &str = "Slack does not know this person in your workspace, or their account is deactivated.";
const UNCONFIRMED: &str =
    "Slack does not accept EnableBot's token any more. Add EnableBot to Slack again first.";

#[derive(Deserialize)]
pub(crate) struct ManagerForm {
    user_id: String,
}

/// A named manager as the page shows them.
pub(super) struct ManagerRow {
    pub(super) manager: NamedManager,
    pub(super) name: String,
    pub(super) granted_by: String,
}

pub(super) async fn load_managers(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<ManagerRow>, DbError> {
    let managers = db::managers::list(tx, tenant_id).await?;
    let names = match managers.is_empty() {
        true => HashMap::new(),
        false => db::profiles::list_names(tx, tenant_id).await?,
    };
    let name = |user_id: &UserId| names.get(user_id).map_or(user_id.as_str(), String::as_str).to_owned();
    let row = |manager: NamedManager| ManagerRow {
        name: name(&manager.user_id),
        granted_by: name(&manager.granted_by),
        manager,
    };
    Ok(managers.into_iter().map(row).collect())
}

/// Names a manager, whom Slack must call an active member.
pub(crate) async fn name_manager(
    State(app): State<Arc<WebState>>,
    ConfirmedAdmin(signed_in): ConfirmedAdmin,
    form: Result<Form<ManagerForm>, FormRejection>,
) -> Response {
    if !signed_in.is_slack_admin {
        return naming_forbidden();
    }
    let Ok(Form(ManagerForm { user_id })) = form else { return malformed_form() };
    let user_id = user_id.trim();
    if !is_user_id(user_id) {
        return render_refusal(&app, &signed_in, NO_USER_ID).await;
    }
    let user_id = UserId::from(user_id);
    let refusal = match ask_slack(&app, &signed_in.session.tenant_id, &user_id).await {
        Ok(Standing::Admin | Standing::Member) => return store_manager(&app, &signed_in, &user_id).await,
        Ok(Standing::Outsider) => OUTSIDER,
        Ok(Standing::Gone) => GONE,
        Ok(Standing::Unconfirmed) => UNCONFIRMED,
        Err(StandingError::Database(error)) => return database_error(&error),
        Err(error) => {
            tracing::warn!(error = %error, "new manager not confirmed");
            return slack_unavailable();
        }
    };
    render_refusal(&app, &signed_in, refusal).await
}

async fn store_manager(app: &WebState, signed_in: &CurrentUser, user_id: &UserId) -> Response {
    let session = &signed_in.session;
    let (tenant_id, named_by) = (&session.tenant_id, &session.user_id);
    let stored = async {
        let mut tx = app.db.begin(tenant_id).await?;
        if db::managers::insert(&mut tx, tenant_id, user_id, named_by).await? {
            let detail = json!({ "user_id": user_id });
            let action = AuditAction::ManagerNamed;
            db::audit_log::insert(&mut tx, tenant_id, named_by.as_str(), action, detail).await?;
        }
        tx.commit().await
    };
    match stored.await {
        Ok(()) => Redirect::to(MANAGERS_PATH).into_response(),
        Err(error) => database_error(&error),
    }
}

/// Takes the naming back. Admins do that, and managers for themselves.
pub(crate) async fn revoke_manager(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
    Path(user_id): Path<String>,
) -> Response {
    let user_id = UserId::from(user_id);
    let session = &signed_in.session;
    if !signed_in.is_slack_admin && user_id != session.user_id {
        return naming_forbidden();
    }
    let (tenant_id, actor) = (&session.tenant_id, session.user_id.as_str());
    let revoked = async {
        let mut tx = app.db.begin(tenant_id).await?;
        if !db::managers::delete(&mut tx, tenant_id, &user_id).await? {
            return Ok(false);
        }
        let detail = json!({ "user_id": user_id });
        db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::ManagerRevoked, detail).await?;
        tx.commit().await?;
        Ok::<_, DbError>(true)
    };
    let path = if signed_in.is_slack_admin { MANAGERS_PATH } else { "/dashboard" };
    redirect_or_404(path, revoked.await).await
}

/// Renders the page with the reason next to the form.
async fn render_refusal(app: &WebState, signed_in: &CurrentUser, reason: &'static str) -> Response {
    match SettingsPage::load(app, signed_in).await {
        Ok(page) => render_page(
            StatusCode::UNPROCESSABLE_ENTITY,
            &SettingsPage { manager_problem: Some(reason), ..page },
        ),
        Err(error) => database_error(&error),
    }
}

fn naming_forbidden() -> Response {
    let problem = ErrorPage {
        title: "Only admins name managers",
        detail: "Managers are named, and their naming is taken back, by people whom Slack calls admins or owners of \
                 your workspace. Nothing was changed.",
        next_step: "Ask one of them.",
        action: Some(ActionLink { href: "/dashboard/settings", label: "Open settings" }),
    };
    render_page(StatusCode::FORBIDDEN, &problem)
}
