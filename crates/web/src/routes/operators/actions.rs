//! Actions of operators on a workspace, each recorded in the workspace's audit log.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::audit_log::AuditAction;
use db::{DbError, Tx};
use models::{EventId, TenantId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::Operator;
use crate::page::{ActionLink, ErrorPage, render_page};
use crate::routes::responses::{database_error, non_empty, not_found};
use crate::state::WebState;

/// Maximum length of a reason.
const MAX_SUSPEND_REASON_CHARS: usize = 300;

/// The fields of all action forms. Empty fields are not set.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ActionForm {
    reason: String,
    weight: String,
    /// The page to return to.
    back: String,
}

type ActionFormResult = Result<Form<ActionForm>, FormRejection>;

pub(crate) async fn suspend(
    State(app): State<Arc<WebState>>,
    operator: Operator,
    Path(tenant_id): Path<String>,
    form: ActionFormResult,
) -> Response {
    let reason = form.map(|Form(form)| non_empty(&form.reason)).unwrap_or_default();
    let Some(reason) = reason else {
        return incomplete_form("Reason missing", "People in the workspace see the reason on the dashboard.");
    };
    let reason: String = reason.chars().take(MAX_SUSPEND_REASON_CHARS).collect();
    let tenant_id = TenantId::new(tenant_id);
    let detail = json!({ "reason": reason });
    let done = apply_action(&app, &operator, &tenant_id, AuditAction::Suspended, detail, async |tx| {
        db::tenants::suspend(tx, &tenant_id, &reason).await
    });
    redirect_back(done.await, &tenant_id, "tenant").await
}

pub(crate) async fn resume(
    State(app): State<Arc<WebState>>,
    operator: Operator,
    Path(tenant_id): Path<String>,
) -> Response {
    let tenant_id = TenantId::new(tenant_id);
    let done = apply_action(&app, &operator, &tenant_id, AuditAction::Resumed, json!({}), async |tx| {
        db::tenants::resume(tx, &tenant_id).await
    });
    redirect_back(done.await, &tenant_id, "tenant").await
}

pub(crate) async fn set_weight(
    State(app): State<Arc<WebState>>,
    operator: Operator,
    Path(tenant_id): Path<String>,
    form: ActionFormResult,
) -> Response {
    let weight = form.ok().and_then(|Form(form)| form.weight.trim().parse().ok());
    let Some(weight) = weight.filter(|weight| (1..=100).contains(weight)) else {
        return incomplete_form("Invalid priority", "Priority is a whole number from 1 to 100.");
    };
    let tenant_id = TenantId::new(tenant_id);
    let done = apply_action(
        &app,
        &operator,
        &tenant_id,
        AuditAction::WeightSet,
        json!({ "weight": weight }),
        async |tx| db::tenants::set_weight(tx, &tenant_id, weight).await,
    );
    redirect_back(done.await, &tenant_id, "tenant").await
}

pub(crate) async fn redrive(
    State(app): State<Arc<WebState>>,
    operator: Operator,
    Path((tenant_id, event_id)): Path<(String, String)>,
    form: ActionFormResult,
) -> Response {
    let (tenant_id, event_id) = (TenantId::new(tenant_id), EventId::new(event_id));
    let detail = json!({ "event_id": event_id });
    let done = apply_action(&app, &operator, &tenant_id, AuditAction::Redriven, detail, async |tx| {
        db::dead_letters::redrive(tx, &tenant_id, &event_id).await
    });
    redirect_back(done.await, &tenant_id, &back_page(form)).await
}

pub(crate) async fn discard(
    State(app): State<Arc<WebState>>,
    operator: Operator,
    Path((tenant_id, event_id)): Path<(String, String)>,
    form: ActionFormResult,
) -> Response {
    let (tenant_id, event_id) = (TenantId::new(tenant_id), EventId::new(event_id));
    let detail = json!({ "event_id": event_id });
    let done = apply_action(&app, &operator, &tenant_id, AuditAction::Discarded, detail, async |tx| {
        db::dead_letters::discard(tx, &tenant_id, &event_id).await
    });
    redirect_back(done.await, &tenant_id, &back_page(form)).await
}

/// Runs an action, and records it if it changed anything. Returns false if there is no such tenant.
async fn apply_action(
    app: &WebState,
    Operator(by): &Operator,
    tenant_id: &TenantId,
    action: AuditAction,
    detail: Value,
    work: impl AsyncFnOnce(&mut Tx) -> Result<bool, DbError>,
) -> Result<bool, DbError> {
    let mut tx = app.db.begin(tenant_id).await?;
    if !db::tenants::lock(&mut tx, tenant_id).await? {
        return Ok(false);
    }
    if work(&mut tx).await? {
        let actor = format!("operator:{}", by.session.user_id);
        db::audit_log::insert(&mut tx, tenant_id, &actor, action, detail).await?;
        tracing::info!(%tenant_id, user_id = %by.session.user_id, "operator action: {}", action.as_str());
    }
    tx.commit().await?;
    Ok(true)
}

fn back_page(form: ActionFormResult) -> String {
    form.map(|Form(form)| form.back).unwrap_or_default()
}

async fn redirect_back(done: Result<bool, DbError>, tenant_id: &TenantId, to: &str) -> Response {
    match done {
        Ok(true) if to == "tenant" => {
            Redirect::to(&format!("/operators/tenants/{tenant_id}")).into_response()
        }
        Ok(true) => Redirect::to("/operators/queue").into_response(),
        Ok(false) => not_found().await,
        Err(error) => database_error(&error),
    }
}

fn incomplete_form(title: &'static str, detail: &'static str) -> Response {
    let problem = ErrorPage {
        title,
        detail,
        next_step: "Nothing was changed. Go back and correct the form.",
        action: Some(ActionLink { href: "/operators", label: "Open workspaces" }),
    };
    render_page(StatusCode::BAD_REQUEST, &problem)
}
