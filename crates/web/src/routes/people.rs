//! `/dashboard/people`: who asks, what the bot knows of them, and how they have it or are rid of it.

use std::sync::Arc;

use askama::Template;
use axum::Form as Posted;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use db::audit_log::Action;
use db::profiles::Known;
use db::{DbError, Tx};
use models::{Profile, UserId};
use serde::Deserialize;
use serde_json::json;

use super::{filled, landing, lead_to, malformed, trouble};
use crate::app::App;
use crate::page::page;
use crate::session::{Manager, SignedIn};
use crate::words;

/// People on the page.
const LIMIT: i64 = 2_000;

/// Characters of a field of a profile.
const LONGEST: usize = 100;

/// What stands for whoever is signed in.
const ME: &str = "me";

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    q: String,
    done: String,
}

#[derive(Template)]
#[template(path = "people.html")]
struct People<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    q: String,
    people: Vec<Known>,
}

#[derive(Template)]
#[template(path = "person.html")]
struct Person<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    user_id: UserId,
    /// `None` where nothing is known of them.
    known: Option<Known>,
    done: String,
    wrong: Option<String>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Manager(signed_in): Manager,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let q = asked.map(|Query(asked)| asked.q).unwrap_or_default();
    let tenant_id = &signed_in.session.tenant_id;
    let found = |mut tx: Tx| async move { db::profiles::list(&mut tx, tenant_id, None, LIMIT).await };
    match signed_in.read(&app, found).await {
        Ok(mut people) => {
            if let Some(wanted) = filled(&q).map(|wanted| wanted.to_lowercase()) {
                people.retain(|known| known.is_found_by(&wanted));
            }
            page(StatusCode::OK, &People { signed_in: &signed_in, here: "people", q, people })
        }
        Err(error) => trouble(&error),
    }
}

/// A person's page, for themselves and for admins.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    Path(user_id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Some(user_id) = whom(&signed_in, user_id) else { return landing::not_found().await };
    let done = asked.map(|Query(asked)| asked.done).unwrap_or_default();
    draw(&app, &signed_in, user_id, done, None).await
}

async fn draw(
    app: &App,
    signed_in: &SignedIn,
    user_id: UserId,
    done: String,
    wrong: Option<String>,
) -> Response {
    let (tenant_id, wanted) = (&signed_in.session.tenant_id, Some(&user_id));
    let found = |mut tx: Tx| async move { db::profiles::list(&mut tx, tenant_id, wanted, 1).await };
    let is_own = user_id == signed_in.session.user_id;
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match signed_in.read(app, found).await.map(|mut found| found.pop()) {
        Ok(None) if !is_own => landing::not_found().await,
        Ok(known) => {
            let here = if is_own { ME } else { "people" };
            page(status, &Person { signed_in, here, user_id, known, done, wrong })
        }
        Err(error) => trouble(&error),
    }
}

/// Sets what the bot is to know of a person.
pub(crate) async fn set_profile(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    Path(user_id): Path<String>,
    profile: Result<Posted<Profile>, FormRejection>,
) -> Response {
    let Some(user_id) = whom(&signed_in, user_id) else { return landing::not_found().await };
    let Ok(Posted(profile)) = profile else { return malformed() };
    let Profile { name, role, department, location } = &profile;
    if [name, role, department, location].iter().any(|text| text.chars().count() > LONGEST) {
        let wrong = format!("Nothing was saved: {LONGEST} characters are the most for each.");
        return draw(&app, &signed_in, user_id, String::new(), Some(wrong)).await;
    }
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let kept = async {
        let mut tx = app.db.begin(tenant_id).await?;
        if !db::profiles::set_profile(&mut tx, tenant_id, &user_id, &trimmed(&profile)).await? {
            return Ok(false);
        }
        let detail = json!({ "user_id": user_id });
        db::audit_log::insert(&mut tx, tenant_id, actor, Action::ProfileSet, detail).await?;
        tx.commit().await?;
        Ok::<_, DbError>(true)
    };
    lead_to(&format!("/dashboard/people/{user_id}?done=saved"), kept.await).await
}

/// All that is kept of a person, as a file.
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    Path(user_id): Path<String>,
) -> Response {
    let Some(user_id) = whom(&signed_in, user_id) else { return landing::not_found().await };
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let made = async {
        let mut tx = app.db.begin(tenant_id).await?;
        if !db::people::is_known(&mut tx, tenant_id, &user_id).await? {
            return Ok(None);
        }
        let export = db::profiles::export(&mut tx, tenant_id, &user_id).await?;
        let detail = json!({ "user_id": user_id, "turns": export.conversations.len() });
        db::audit_log::insert(&mut tx, tenant_id, actor, Action::PersonExported, detail).await?;
        tx.commit().await?;
        Ok::<_, DbError>(Some(serde_json::to_vec_pretty(&export)?))
    };
    match made.await {
        Ok(Some(file)) => {
            let headers = [
                (CONTENT_TYPE, "application/json"),
                (CONTENT_DISPOSITION, "attachment; filename=\"enablebot-person.json\""),
                (CACHE_CONTROL, "no-store"),
            ];
            (headers, file).into_response()
        }
        Ok(None) => landing::not_found().await,
        Err(error) => trouble(&error),
    }
}

/// Forgets a person, and what was said with them.
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    Path(user_id): Path<String>,
) -> Response {
    let Some(user_id) = whom(&signed_in, user_id) else { return landing::not_found().await };
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let forgotten = async {
        let mut tx = app.db.begin(tenant_id).await?;
        if !db::people::is_known(&mut tx, tenant_id, &user_id).await? {
            return Ok(false);
        }
        let turns = db::people::forget(&mut tx, tenant_id, &user_id).await?;
        let detail = json!({ "user_id": user_id, "turns": turns });
        db::audit_log::insert(&mut tx, tenant_id, actor, Action::PersonForgotten, detail).await?;
        tx.commit().await?;
        Ok::<_, DbError>(true)
    };
    let back = if signed_in.manages { "/dashboard/people" } else { "/dashboard/people/me?done=forgotten" };
    lead_to(back, forgotten.await).await
}

/// Whose page it is, where they may open it.
fn whom(signed_in: &SignedIn, user_id: String) -> Option<UserId> {
    let own = &signed_in.session.user_id;
    match user_id.as_str() {
        ME => Some(own.clone()),
        id if id == own.as_str() || signed_in.manages => Some(UserId::from(id)),
        _ => None,
    }
}

fn trimmed(profile: &Profile) -> Profile {
    let of = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    Profile {
        name: of(&profile.name),
        role: of(&profile.role),
        department: of(&profile.department),
        location: of(&profile.location),
    }
}

impl People<'_> {
    fn number(&self, count: &i64) -> String {
        words::grouped(*count)
    }
}

impl Person<'_> {
    fn is_own(&self) -> bool {
        self.user_id == self.signed_in.session.user_id
    }
}
