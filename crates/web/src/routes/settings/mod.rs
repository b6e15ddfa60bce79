//! `/dashboard/settings`: settings of the workspace. The effects of a change are shown before it is saved.

mod field_errors;
mod fields;
mod form;
mod managers;
mod model_key;
mod review;

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::audit_log::AuditAction;
use db::settings::TenantConfig;
use db::{DbError, Tx};
use models::{Affiliation, BudgetCeiling, TenantId, WorkspaceSettings};
use serde::Deserialize;
use serde_json::json;

use crate::auth::{CurrentUser, WorkspaceAdmin};
use crate::page::render_page;
use crate::routes::responses::{database_error, malformed_form};
use crate::state::WebState;
use field_errors::FieldError;
use fields::{FIELD_GROUPS, FieldKind, SettingsField};
use form::{SettingsForm, SettingsInput};
use managers::ManagerRow;
use review::SettingChange;

pub(crate) use managers::{name_manager, revoke_manager};
pub(crate) use model_key::{remove as remove_model_key, set as set_model_key};

/// Query of the settings page.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct SettingsQuery {
    saved: String,
}

/// The submitted form, and the version of the settings that the person saw.
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
    /// The reason a person was not named a manager.
    manager_problem: Option<&'static str>,
    is_saved: bool,
}

/// Data of the page other than the settings.
struct PageContext {
    /// The models of this deployment; `None` if no `api` is running.
    available_models: Option<Vec<String>>,
    /// Cost of this month, in millionths of a dollar.
    spent: i64,
    managers: Vec<ManagerRow>,
    budget_ceiling: BudgetCeiling,
}

#[derive(Template)]
#[template(path = "settings_review.html")]
struct SettingsReviewPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    form: SettingsForm,
    changes: Vec<SettingChange>,
    /// The new system prompt, if it changes.
    instructions: Option<String>,
    seen: String,
    has_conflict: bool,
}

pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
    query: Result<Query<SettingsQuery>, QueryRejection>,
) -> Response {
    let is_saved = query.is_ok_and(|Query(query)| !query.saved.is_empty());
    match SettingsPage::load(&app, &signed_in).await {
        Ok(page) => render_page(StatusCode::OK, &SettingsPage { is_saved, ..page }),
        Err(error) => database_error(&error),
    }
}

/// Shows the changes and their effects, without saving.
pub(crate) async fn review(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
    submitted: Result<Form<SubmittedSettings>, FormRejection>,
) -> Response {
    let Ok(Form(SubmittedSettings { form, .. })) = submitted else { return malformed_form() };
    render_review(&app, &signed_in, form, false).await.unwrap_or_else(|error| database_error(&error))
}

/// Saves the reviewed change. If someone else saved in the meantime, the review is shown again.
pub(crate) async fn save(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
    submitted: Result<Form<SubmittedSettings>, FormRejection>,
) -> Response {
    let Ok(Form(SubmittedSettings { form, seen })) = submitted else { return malformed_form() };
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
    has_conflict: bool,
) -> Result<Response, DbError> {
    let tenant_id = &signed_in.session.tenant_id;
    let mut tx = app.db.begin(tenant_id).await?;
    let (stored, current) = load_settings(&mut tx, tenant_id).await?;
    let context = load_context(app, &mut tx, tenant_id).await?;
    let requested =
        match form.parse(find_selectable_models(&stored, &context.available_models), app.budget_ceiling) {
            Ok(requested) => requested,
            Err(errors) => {
                let page = SettingsPage { errors, ..SettingsPage::new(signed_in, form, stored, context) };
                return Ok(render_page(StatusCode::UNPROCESSABLE_ENTITY, &page));
            }
        };
    let changes = review::list_changes(&mut tx, tenant_id, &current, &requested, app.budget_ceiling).await?;
    let instructions_of = |settings: &WorkspaceSettings| settings.to_instructions(Affiliation::Member);
    let instructions = instructions_of(&requested.settings);
    let review = SettingsReviewPage {
        signed_in,
        active_page: "settings",
        form: SettingsForm::from_input(&requested),
        changes,
        instructions: (instructions != instructions_of(&current.settings)).then_some(instructions),
        seen: settings_version(&stored),
        has_conflict,
    };
    Ok(render_page(StatusCode::OK, &review))
}

/// Saves the form with an audit entry; returns false if the settings have changed since, or the form is
/// invalid.
async fn save_if_unchanged(
    app: &WebState,
    signed_in: &CurrentUser,
    form: &SettingsForm,
    seen: &str,
) -> Result<bool, DbError> {
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let mut tx = app.db.begin(tenant_id).await?;
    // The lock serializes concurrent saves, so the second one sees the first one's change.
    db::tenants::lock(&mut tx, tenant_id).await?;
    let (stored, current) = load_settings(&mut tx, tenant_id).await?;
    let offered = find_available_models(&mut tx).await?;
    let Ok(requested) = form.parse(find_selectable_models(&stored, &offered), app.budget_ceiling) else {
        return Ok(false);
    };
    if settings_version(&stored) != seen {
        return Ok(false);
    }
    db::settings::set(&mut tx, tenant_id, &requested.settings, actor).await?;
    db::channels::set_all_external_allowed(&mut tx, tenant_id, &requested.external).await?;
    let detail = json!({ "changed": review::audit_detail(&current, &requested) });
    db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::SettingsChanged, detail).await?;
    tx.commit().await?;
    Ok(true)
}

async fn load_settings(tx: &mut Tx, tenant_id: &TenantId) -> Result<(TenantConfig, SettingsInput), DbError> {
    let stored = db::settings::find(tx, tenant_id).await?;
    let external = db::channels::list_external_allowed(tx, tenant_id).await?;
    let current = SettingsInput { settings: stored.settings.clone(), external };
    Ok((stored, current))
}

async fn load_context(app: &WebState, tx: &mut Tx, tenant_id: &TenantId) -> Result<PageContext, DbError> {
    let spent = db::usage::spent_this_month(tx, tenant_id).await?;
    let managers = managers::load_managers(tx, tenant_id).await?;
    let available_models = find_available_models(tx).await?;
    Ok(PageContext { available_models, spent, budget_ceiling: app.budget_ceiling, managers })
}

/// Returns the models of this deployment, as reported by the newest `api`; `None` if none is running.
async fn find_available_models(tx: &mut Tx) -> Result<Option<Vec<String>>, DbError> {
    Ok(db::instances::find_api_facts(tx).await?.map(|facts| facts.models))
}

/// Returns the address of the model's server; `None` if no `api` is running.
async fn find_base_url(app: &WebState) -> Result<Option<String>, DbError> {
    let facts = db::instances::find_api_facts(&mut app.db.begin_cross_tenant().await?).await?;
    Ok(facts.map(|facts| facts.base_url))
}

/// Returns the models that may be chosen; `None` allows any, since the workspace's own key pays for them.
fn find_selectable_models<'a>(
    stored: &TenantConfig,
    offered: &'a Option<Vec<String>>,
) -> Option<&'a [String]> {
    if stored.model_key.is_some() { None } else { offered.as_deref() }
}

/// Returns a version that changes with every save.
fn settings_version(stored: &TenantConfig) -> String {
    stored.changed.as_ref().map(|(_, at)| at.timestamp_micros().to_string()).unwrap_or_default()
}

impl<'a> SettingsPage<'a> {
    async fn load(app: &WebState, signed_in: &'a CurrentUser) -> Result<Self, DbError> {
        let tenant_id = &signed_in.session.tenant_id;
        let mut tx = app.db.begin(tenant_id).await?;
        let (stored, current) = load_settings(&mut tx, tenant_id).await?;
        let context = load_context(app, &mut tx, tenant_id).await?;
        Ok(Self::new(signed_in, SettingsForm::from_input(&current), stored, context))
    }

    fn new(
        signed_in: &'a CurrentUser,
        form: SettingsForm,
        stored: TenantConfig,
        context: PageContext,
    ) -> Self {
        Self {
            signed_in,
            active_page: "settings",
            form,
            errors: Vec::new(),
            stored,
            context,
            key_problem: None,
            manager_problem: None,
            is_saved: false,
        }
    }

    fn groups(&self) -> &'static [(&'static str, &'static [SettingsField])] {
        &FIELD_GROUPS
    }

    /// Formats the cost of this month.
    fn spent(&self) -> String {
        crate::format::dollars(self.context.spent)
    }

    /// Formats the operator's ceiling, if there is one.
    fn ceiling(&self) -> Option<String> {
        self.context.budget_ceiling.micros().map(crate::format::dollars)
    }

    fn field_error(&self, field: &SettingsField) -> Option<&str> {
        self.errors.iter().find(|error| error.name == field.name).map(|error| error.message.as_str())
    }
}

impl SettingsReviewPage<'_> {
    fn fields(&self) -> impl Iterator<Item = &'static SettingsField> {
        FIELD_GROUPS.iter().flat_map(|(_, fields)| fields.iter())
    }
}
