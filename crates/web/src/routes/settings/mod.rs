//! `/dashboard/settings`: how the workspace wants its bot. What a change does is shown before it is saved.

mod fields;
mod form;
mod model_key;
mod review;

use std::sync::Arc;

use askama::Template;
use axum::Form as Posted;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::audit_log::AuditAction;
use db::settings::TenantConfig;
use db::{DbError, Tx};
use models::TenantId;
use serde::Deserialize;
use serde_json::json;

use super::{database_error, malformed_form};
use crate::auth::{CurrentUser, WorkspaceAdmin};
use crate::page::render_page;
use crate::state::WebState;
use fields::{FIELD_GROUPS, FieldKind, SettingsField};
use form::{FieldError, SettingsForm, SettingsInput};
use review::SettingChange;

pub(crate) use model_key::{remove as remove_model_key, set as set_model_key};

/// What can be told beside the form.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct SettingsQuery {
    saved: String,
}

/// The form as it was shown, and what stood there then.
#[derive(Deserialize)]
pub(crate) struct SubmittedSettings {
    #[serde(flatten)]
    form: SettingsForm,
    #[serde(default)]
    seen: String,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    form: SettingsForm,
    errors: Vec<FieldError>,
    stored: TenantConfig,
    context: PageContext,
    key_problem: Option<String>,
    is_saved: bool,
}

/// What the page tells besides the settings.
struct PageContext {
    /// The models of this deployment; `None` where no `api` runs that could tell.
    available_models: Option<Vec<String>>,
    /// This month, in millionths of a dollar.
    spent: i64,
}

#[derive(Template)]
#[template(path = "settings_review.html")]
struct SettingsReviewPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    form: SettingsForm,
    changes: Vec<SettingChange>,
    /// What the model is told after the change, where that changes.
    instructions: Option<String>,
    seen: String,
    has_conflict: bool,
}

pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
    told: Result<Query<SettingsQuery>, QueryRejection>,
) -> Response {
    let is_saved = told.is_ok_and(|Query(told)| !told.saved.is_empty());
    let found = async {
        let tenant_id = &signed_in.session.tenant_id;
        let mut tx = app.db.begin(tenant_id).await?;
        Ok::<_, DbError>((load_settings(&mut tx, tenant_id).await?, load_context(&mut tx, tenant_id).await?))
    };
    match found.await {
        Ok(((stored, standing), around)) => {
            let mut shown =
                SettingsPage::new(&signed_in, SettingsForm::from_input(&standing), stored, around);
            shown.is_saved = is_saved;
            render_page(StatusCode::OK, &shown)
        }
        Err(error) => database_error(&error),
    }
}

/// What would change, and what that does; nothing is saved yet.
pub(crate) async fn review(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
    submitted: Result<Posted<SubmittedSettings>, FormRejection>,
) -> Response {
    let Ok(Posted(SubmittedSettings { form, .. })) = submitted else { return malformed_form() };
    let found = render_review(&app, &signed_in, form, false).await;
    found.unwrap_or_else(|error| database_error(&error))
}

/// Saves what was reviewed, with its audit entry; where somebody else saved meanwhile, it is reviewed once more.
pub(crate) async fn save(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
    submitted: Result<Posted<SubmittedSettings>, FormRejection>,
) -> Response {
    let Ok(Posted(SubmittedSettings { form, seen })) = submitted else { return malformed_form() };
    match save_if_unchanged(&app, &signed_in, &form, &seen).await {
        Ok(true) => Redirect::to("/dashboard/settings?saved=yes").into_response(),
        Ok(false) => {
            render_review(&app, &signed_in, form, true).await.unwrap_or_else(|error| database_error(&error))
        }
        Err(error) => database_error(&error),
    }
}

async fn render_review(
    app: &WebState,
    signed_in: &CurrentUser,
    form: SettingsForm,
    is_overtaken: bool,
) -> Result<Response, DbError> {
    let tenant_id = &signed_in.session.tenant_id;
    let mut tx = app.db.begin(tenant_id).await?;
    let (stored, standing) = load_settings(&mut tx, tenant_id).await?;
    let around = load_context(&mut tx, tenant_id).await?;
    let wanted = match form.parse(find_selectable_models(&stored, &around.available_models)) {
        Ok(wanted) => wanted,
        Err(wrong) => {
            let mut shown = SettingsPage::new(signed_in, form, stored, around);
            shown.errors = wrong;
            return Ok(render_page(StatusCode::UNPROCESSABLE_ENTITY, &shown));
        }
    };
    let changes = review::list_changes(&mut tx, tenant_id, &standing, &wanted).await?;
    let told = wanted.settings.to_instructions();
    let told = (told != standing.settings.to_instructions()).then_some(told);
    let seen = settings_version(&stored);
    let review = SettingsReviewPage {
        signed_in,
        active_page: "settings",
        form: SettingsForm::from_input(&wanted),
        changes,
        instructions: told,
        seen,
        has_conflict: is_overtaken,
    };
    Ok(render_page(StatusCode::OK, &review))
}

/// False where the settings are not those any more that the change was made to, or something is wrong with it.
async fn save_if_unchanged(
    app: &WebState,
    signed_in: &CurrentUser,
    form: &SettingsForm,
    seen: &str,
) -> Result<bool, DbError> {
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let mut tx = app.db.begin(tenant_id).await?;
    // Two who save at once: the second sees what the first has saved.
    db::tenants::lock(&mut tx, tenant_id).await?;
    let (stored, standing) = load_settings(&mut tx, tenant_id).await?;
    let offered = find_available_models(&mut tx).await?;
    let Ok(wanted) = form.parse(find_selectable_models(&stored, &offered)) else { return Ok(false) };
    if settings_version(&stored) != seen {
        return Ok(false);
    }
    db::settings::set(&mut tx, tenant_id, &wanted.settings, actor).await?;
    db::channels::set_all_external_allowed(&mut tx, tenant_id, &wanted.external).await?;
    let detail = json!({ "changed": review::audit_detail(&standing, &wanted) });
    db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::SettingsChanged, detail).await?;
    tx.commit().await?;
    Ok(true)
}

async fn load_settings(tx: &mut Tx, tenant_id: &TenantId) -> Result<(TenantConfig, SettingsInput), DbError> {
    let stored = db::settings::find(tx, tenant_id).await?;
    let external = db::channels::list_external_allowed(tx, tenant_id).await?;
    let standing = SettingsInput { settings: stored.settings.clone(), external };
    Ok((stored, standing))
}

async fn load_context(tx: &mut Tx, tenant_id: &TenantId) -> Result<PageContext, DbError> {
    let spent = db::usage::spent_this_month(tx, tenant_id).await?;
    Ok(PageContext { available_models: find_available_models(tx).await?, spent })
}

/// The models of this deployment, as its newest `api` tells; `None` where none runs.
async fn find_available_models(tx: &mut Tx) -> Result<Option<Vec<String>>, DbError> {
    Ok(db::instances::find_api_facts(tx).await?.map(|facts| facts.models))
}

/// The address of the model's server.
async fn find_base_url(app: &WebState) -> Result<Option<String>, DbError> {
    let facts = db::instances::find_api_facts(&mut app.db.begin_cross_tenant().await?).await?;
    Ok(facts.map(|facts| facts.base_url))
}

/// With a key of its own a workspace has whatever that pays for.
fn find_selectable_models<'a>(
    stored: &TenantConfig,
    offered: &'a Option<Vec<String>>,
) -> Option<&'a [String]> {
    if stored.model_key.is_some() { None } else { offered.as_deref() }
}

/// Tells one state of the settings from any other.
fn settings_version(stored: &TenantConfig) -> String {
    stored.changed.as_ref().map(|(_, at)| at.timestamp_micros().to_string()).unwrap_or_default()
}

impl<'a> SettingsPage<'a> {
    fn new(
        signed_in: &'a CurrentUser,
        form: SettingsForm,
        stored: TenantConfig,
        context: PageContext,
    ) -> Self {
        let (errors, key_problem, is_saved) = (Vec::new(), None, false);
        Self { signed_in, active_page: "settings", form, errors, stored, context, key_problem, is_saved }
    }

    fn groups(&self) -> &'static [(&'static str, &'static [SettingsField])] {
        &FIELD_GROUPS
    }

    /// This month's spending, beside the budget.
    fn spent(&self) -> String {
        crate::format::dollars(self.context.spent)
    }

    fn field_error(&self, field: &SettingsField) -> Option<&str> {
        self.errors.iter().find(|wrong| wrong.name == field.name).map(|wrong| wrong.message.as_str())
    }
}

impl SettingsReviewPage<'_> {
    fn fields(&self) -> impl Iterator<Item = &'static SettingsField> {
        FIELD_GROUPS.iter().flat_map(|(_, fields)| fields.iter())
    }
}
