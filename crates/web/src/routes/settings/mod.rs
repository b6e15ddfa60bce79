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
use db::audit_log::Action;
use db::settings::Stored;
use db::{DbError, Tx};
use models::TenantId;
use serde::Deserialize;
use serde_json::json;

use super::{malformed, trouble};
use crate::app::App;
use crate::page::page;
use crate::session::{Manager, SignedIn};
use fields::{Field, GROUPS, Kind};
use form::{Form, Wanted, Wrong};
use review::Change;

pub(crate) use model_key::{remove as remove_model_key, set as set_model_key};

/// What can be told beside the form.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    saved: String,
}

/// The form as it was shown, and what stood there then.
#[derive(Deserialize)]
pub(crate) struct Submitted {
    #[serde(flatten)]
    form: Form,
    #[serde(default)]
    seen: String,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Page<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    form: Form,
    wrong: Vec<Wrong>,
    stored: Stored,
    around: Around,
    key_problem: Option<String>,
    is_saved: bool,
}

/// What the page tells besides the settings.
struct Around {
    /// The models of this deployment; `None` where no `api` runs that could tell.
    offered: Option<Vec<String>>,
    /// This month, in millionths of a dollar.
    spent: i64,
}

#[derive(Template)]
#[template(path = "settings_review.html")]
struct Review<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    form: Form,
    changes: Vec<Change>,
    /// What the model is told after the change, where that changes.
    told: Option<String>,
    seen: String,
    is_overtaken: bool,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Manager(signed_in): Manager,
    told: Result<Query<Told>, QueryRejection>,
) -> Response {
    let is_saved = told.is_ok_and(|Query(told)| !told.saved.is_empty());
    let found = async {
        let tenant_id = &signed_in.session.tenant_id;
        let mut tx = app.db.begin(tenant_id).await?;
        Ok::<_, DbError>((find(&mut tx, tenant_id).await?, look_around(&mut tx, tenant_id).await?))
    };
    match found.await {
        Ok(((stored, standing), around)) => {
            let mut shown = Page::new(&signed_in, Form::of(&standing), stored, around);
            shown.is_saved = is_saved;
            page(StatusCode::OK, &shown)
        }
        Err(error) => trouble(&error),
    }
}

/// What would change, and what that does; nothing is saved yet.
pub(crate) async fn review(
    State(app): State<Arc<App>>,
    Manager(signed_in): Manager,
    submitted: Result<Posted<Submitted>, FormRejection>,
) -> Response {
    let Ok(Posted(Submitted { form, .. })) = submitted else { return malformed() };
    let found = look(&app, &signed_in, form, false).await;
    found.unwrap_or_else(|error| trouble(&error))
}

/// Saves what was reviewed, with its audit entry; where somebody else saved meanwhile, it is reviewed once more.
pub(crate) async fn save(
    State(app): State<Arc<App>>,
    Manager(signed_in): Manager,
    submitted: Result<Posted<Submitted>, FormRejection>,
) -> Response {
    let Ok(Posted(Submitted { form, seen })) = submitted else { return malformed() };
    match keep(&app, &signed_in, &form, &seen).await {
        Ok(true) => Redirect::to("/dashboard/settings?saved=yes").into_response(),
        Ok(false) => look(&app, &signed_in, form, true).await.unwrap_or_else(|error| trouble(&error)),
        Err(error) => trouble(&error),
    }
}

async fn look(app: &App, signed_in: &SignedIn, form: Form, is_overtaken: bool) -> Result<Response, DbError> {
    let tenant_id = &signed_in.session.tenant_id;
    let mut tx = app.db.begin(tenant_id).await?;
    let (stored, standing) = find(&mut tx, tenant_id).await?;
    let around = look_around(&mut tx, tenant_id).await?;
    let wanted = match form.read(allowed(&stored, &around.offered)) {
        Ok(wanted) => wanted,
        Err(wrong) => {
            let mut shown = Page::new(signed_in, form, stored, around);
            shown.wrong = wrong;
            return Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &shown));
        }
    };
    let changes = review::changes(&mut tx, tenant_id, &standing, &wanted).await?;
    let told = wanted.settings.to_instructions();
    let told = (told != standing.settings.to_instructions()).then_some(told);
    let seen = mark(&stored);
    let review =
        Review { signed_in, here: "settings", form: Form::of(&wanted), changes, told, seen, is_overtaken };
    Ok(page(StatusCode::OK, &review))
}

/// False where the settings are not those any more that the change was made to, or something is wrong with it.
async fn keep(app: &App, signed_in: &SignedIn, form: &Form, seen: &str) -> Result<bool, DbError> {
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let mut tx = app.db.begin(tenant_id).await?;
    // Two who save at once: the second sees what the first has saved.
    db::tenants::lock(&mut tx, tenant_id).await?;
    let (stored, standing) = find(&mut tx, tenant_id).await?;
    let offered = offered(&mut tx).await?;
    let Ok(wanted) = form.read(allowed(&stored, &offered)) else { return Ok(false) };
    if mark(&stored) != seen {
        return Ok(false);
    }
    db::settings::set(&mut tx, tenant_id, &wanted.settings, actor).await?;
    db::channels::set_all_external_allowed(&mut tx, tenant_id, &wanted.external).await?;
    let detail = json!({ "changed": review::for_audit(&standing, &wanted) });
    db::audit_log::insert(&mut tx, tenant_id, actor, Action::SettingsChanged, detail).await?;
    tx.commit().await?;
    Ok(true)
}

async fn find(tx: &mut Tx, tenant_id: &TenantId) -> Result<(Stored, Wanted), DbError> {
    let stored = db::settings::find(tx, tenant_id).await?;
    let external = db::channels::list_external_allowed(tx, tenant_id).await?;
    let standing = Wanted { settings: stored.settings.clone(), external };
    Ok((stored, standing))
}

async fn look_around(tx: &mut Tx, tenant_id: &TenantId) -> Result<Around, DbError> {
    let spent = db::usage::spent_this_month(tx, tenant_id).await?;
    Ok(Around { offered: offered(tx).await?, spent })
}

/// The models of this deployment, as its newest `api` tells; `None` where none runs.
async fn offered(tx: &mut Tx) -> Result<Option<Vec<String>>, DbError> {
    Ok(db::replicas::find_api_facts(tx).await?.map(|facts| facts.models))
}

/// The address of the model's server.
async fn find_base_url(app: &App) -> Result<Option<String>, DbError> {
    let facts = db::replicas::find_api_facts(&mut app.db.begin_for_all().await?).await?;
    Ok(facts.map(|facts| facts.base_url))
}

/// With a key of its own a workspace has whatever that pays for.
fn allowed<'a>(stored: &Stored, offered: &'a Option<Vec<String>>) -> Option<&'a [String]> {
    if stored.model_key.is_some() { None } else { offered.as_deref() }
}

/// Tells one state of the settings from any other.
fn mark(stored: &Stored) -> String {
    stored.changed.as_ref().map(|(_, at)| at.timestamp_micros().to_string()).unwrap_or_default()
}

impl<'a> Page<'a> {
    fn new(signed_in: &'a SignedIn, form: Form, stored: Stored, around: Around) -> Self {
        let (wrong, key_problem, is_saved) = (Vec::new(), None, false);
        Self { signed_in, here: "settings", form, wrong, stored, around, key_problem, is_saved }
    }

    fn groups(&self) -> &'static [(&'static str, &'static [Field])] {
        &GROUPS
    }

    /// This month's spending, beside the budget.
    fn spent(&self) -> String {
        crate::words::dollars(self.around.spent)
    }

    fn problem(&self, field: &Field) -> Option<&str> {
        self.wrong.iter().find(|wrong| wrong.name == field.name).map(|wrong| wrong.what.as_str())
    }
}

impl Review<'_> {
    fn fields(&self) -> impl Iterator<Item = &'static Field> {
        GROUPS.iter().flat_map(|(_, fields)| fields.iter())
    }
}
