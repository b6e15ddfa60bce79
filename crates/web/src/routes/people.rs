//! `/dashboard/people`: people who use the bot, their profiles, and export and deletion of their data.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use db::audit_log::AuditAction;
use db::profiles::PersonProfile;
use db::{DbError, Tx};
use models::{EmployeeProfile, UserId};
use serde::Deserialize;
use serde_json::json;

use super::export_notice;
use super::responses::{database_error, malformed_form, non_empty, not_found, redirect_or_404};
use crate::auth::streams::SessionStream;
use crate::auth::{CurrentUser, WorkspaceAdmin};
use crate::format::PageFormat;
use crate::page::render_page;
use crate::state::WebState;
use crate::stream_limits::StreamKind;

/// Maximum number of people on the page.
const MAX_PEOPLE_ROWS: i64 = 2_000;

/// Maximum length of a profile field.
const MAX_PROFILE_FIELD_CHARS: usize = 100;

/// The id in paths that stands for the signed-in person.
const SELF_ID: &str = "me";

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct PeopleQuery {
    q: String,
    done: String,
}

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    q: String,
    people: Vec<PersonProfile>,
}

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    user_id: UserId,
    /// `None` if nothing is stored about the person.
    profile: Option<PersonProfile>,
    done: String,
    wrong: Option<String>,
}

pub(crate) async fn list(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
    query: Result<Query<PeopleQuery>, QueryRejection>,
) -> Response {
    let q = query.map(|Query(query)| query.q).unwrap_or_default();
    let tenant_id = &signed_in.session.tenant_id;
    let load =
        |mut tx: Tx| async move { db::profiles::list(&mut tx, tenant_id, None, MAX_PEOPLE_ROWS).await };
    match signed_in.read(&app, load).await {
        Ok(mut people) => {
            if let Some(search) = non_empty(&q).map(|search| search.to_lowercase()) {
                people.retain(|profile| profile.is_match(&search));
            }
            render_page(
                StatusCode::OK,
                &PeoplePage { signed_in: &signed_in, active_page: "people", q, people },
            )
        }
        Err(error) => database_error(&error),
    }
}

/// Shows a person's page, to themselves and to admins.
pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    Path(user_id): Path<String>,
    query: Result<Query<PeopleQuery>, QueryRejection>,
) -> Response {
    let Some(user_id) = find_accessible_user(&signed_in, user_id) else { return not_found().await };
    let done = query.map(|Query(query)| query.done).unwrap_or_default();
    render_person(&app, &signed_in, user_id, done, None).await
}

async fn render_person(
    app: &WebState,
    signed_in: &CurrentUser,
    user_id: UserId,
    done: String,
    wrong: Option<String>,
) -> Response {
    let (tenant_id, only) = (&signed_in.session.tenant_id, Some(&user_id));
    let load = |mut tx: Tx| async move { db::profiles::list(&mut tx, tenant_id, only, 1).await };
    let is_own = user_id == signed_in.session.user_id;
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match signed_in.read(app, load).await.map(|mut found| found.pop()) {
        Ok(None) if !is_own => not_found().await,
        Ok(profile) => {
            let here = if is_own { SELF_ID } else { "people" };
            render_page(status, &PersonPage { signed_in, active_page: here, user_id, profile, done, wrong })
        }
        Err(error) => database_error(&error),
    }
}

/// Saves a person's profile.
pub(crate) async fn set_profile(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    Path(user_id): Path<String>,
    profile: Result<Form<EmployeeProfile>, FormRejection>,
) -> Response {
    let Some(user_id) = find_accessible_user(&signed_in, user_id) else { return not_found().await };
    let Ok(Form(profile)) = profile else { return malformed_form() };
    let EmployeeProfile { name, role, department, location } = &profile;
    if [name, role, department, location].iter().any(|text| text.chars().count() > MAX_PROFILE_FIELD_CHARS) {
        let wrong = format!("Not saved. Each field can have at most {MAX_PROFILE_FIELD_CHARS} characters.");
        return render_person(&app, &signed_in, user_id, String::new(), Some(wrong)).await;
    }
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let saved = async {
        let mut tx = app.db.begin(tenant_id).await?;
        if !db::profiles::set_profile(&mut tx, tenant_id, &user_id, &normalize_profile(&profile)).await? {
            return Ok(false);
        }
        let detail = json!({ "user_id": user_id });
        db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::ProfileSet, detail).await?;
        tx.commit().await?;
        Ok::<_, DbError>(true)
    };
    redirect_or_404(&format!("/dashboard/people/{user_id}?done=saved"), saved.await).await
}

/// Exports everything stored about a person as a file; somebody else's conversations only if the workspace
/// lets them be read, and announced.
pub(crate) async fn export_person(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    Path(user_id): Path<String>,
) -> Response {
    let Some(user_id) = find_accessible_user(&signed_in, user_id) else { return not_found().await };
    if let Err(refusal) = confirm_access(&app, &signed_in, &user_id).await {
        return refusal;
    }
    let _download = match SessionStream::begin(&app, &signed_in, StreamKind::Download) {
        Ok(download) => download,
        Err(refusal) => return refusal,
    };
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let export = async {
        let mut tx = app.db.begin(tenant_id).await?;
        let is_own = user_id == signed_in.session.user_id;
        if !is_own && !db::people::is_known(&mut tx, tenant_id, &user_id).await? {
            return Ok(None);
        }
        let is_own = user_id == signed_in.session.user_id;
        let has_text = is_own || export_notice::is_text_readable(&mut tx, tenant_id).await?;
        let export = db::profiles::export(&mut tx, tenant_id, &user_id, has_text).await?;
        if has_text && !is_own {
            export_notice::announce(&mut tx, &signed_in.session, Some(&user_id)).await?;
        }
        let detail = json!({ "user_id": user_id, "messages": export.conversations.len() });
        db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::PersonExported, detail).await?;
        tx.commit().await?;
        Ok::<_, DbError>(Some(serde_json::to_vec_pretty(&export)?))
    };
    match export.await {
        Ok(Some(file)) => {
            let headers = [
                (CONTENT_TYPE, "application/json"),
                (CONTENT_DISPOSITION, "attachment; filename=\"enablebot-person.json\""),
                (CACHE_CONTROL, "no-store"),
            ];
            (headers, file).into_response()
        }
        Ok(None) => not_found().await,
        Err(error) => database_error(&error),
    }
}

/// Deletes a person's data and their conversations, and ends their sessions.
pub(crate) async fn forget_person(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    Path(user_id): Path<String>,
) -> Response {
    let Some(user_id) = find_accessible_user(&signed_in, user_id) else { return not_found().await };
    if let Err(refusal) = confirm_access(&app, &signed_in, &user_id).await {
        return refusal;
    }
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let is_own = user_id == signed_in.session.user_id;
    let deleted = async {
        db::forgetting::settle_inbox(&app.db).await?;
        let mut tx = app.db.begin(tenant_id).await?;
        if !is_own && !db::people::is_known(&mut tx, tenant_id, &user_id).await? {
            return Ok(false);
        }
        // The entry names the person by the digest in their tombstone.
        let detail = json!(db::forgetting::forget(&mut tx, tenant_id, &user_id, None).await?);
        db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::PersonForgotten, detail).await?;
        tx.commit().await?;
        Ok::<_, DbError>(true)
    };
    // Their sessions have ended, also the one that asked for it.
    let back = if is_own { "/?done=forgotten" } else { "/dashboard/people" };
    redirect_or_404(back, deleted.await).await
}

/// Returns the person of a path, if the signed-in person may see their page.
fn find_accessible_user(signed_in: &CurrentUser, user_id: String) -> Option<UserId> {
    let own = &signed_in.session.user_id;
    match user_id.as_str() {
        SELF_ID => Some(own.clone()),
        id if id == own.as_str() || signed_in.is_admin => Some(UserId::from(id)),
        _ => None,
    }
}

/// Confirms with Slack that a manager still is one, before they export or delete another person's data.
async fn confirm_access(app: &WebState, signed_in: &CurrentUser, user_id: &UserId) -> Result<(), Response> {
    match *user_id == signed_in.session.user_id {
        true => Ok(()),
        false => signed_in.confirm_manager(app).await.map(drop),
    }
}

fn normalize_profile(profile: &EmployeeProfile) -> EmployeeProfile {
    let normalize = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    EmployeeProfile {
        name: normalize(&profile.name),
        role: normalize(&profile.role),
        department: normalize(&profile.department),
        location: normalize(&profile.location),
    }
}

impl PersonPage<'_> {
    fn is_own(&self) -> bool {
        self.user_id == self.signed_in.session.user_id
    }
}
