//! `GET /dashboard/events` and what is below it: every event with its outcome and why, and what is done with those that
//! were set aside.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::audit_log::Action;
use db::ignored_events::{EventFate, Filter};
use db::stories::EventStory;
use db::{DbError, Tx};
use models::{EventId, Outcome, UserId};
use serde::Deserialize;
use serde_json::json;

use super::{filled, landing, lead_to, trouble};
use crate::app::App;
use crate::page::page;
use crate::session::{Manager, SignedIn};

/// Events on a page.
const LIMIT: i64 = 100;

/// What the form asks for; empty fields are none.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    outcome: String,
    channel: String,
    person: String,
    /// Minutes back from now.
    since: String,
}

#[derive(Template)]
#[template(path = "events.html")]
struct Events<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    asked: Asked,
    fates: Vec<EventFate>,
    names: HashMap<UserId, String>,
}

#[derive(Template)]
#[template(path = "event.html")]
struct Event<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    event_id: EventId,
    story: EventStory,
}

const SINCE: [(&str, &str); 4] = [
    ("60", "the last hour"),
    ("1440", "the last day"),
    ("10080", "the last week"),
    ("43200", "the last 30 days"),
];

impl Events<'_> {
    /// What a person is called; the id of whom nobody knows.
    fn name<'a>(&'a self, user_id: &'a Option<String>) -> &'a str {
        let Some(user_id) = user_id else { return "" };
        self.names.get(&UserId::from(user_id.as_str())).map_or(user_id, String::as_str)
    }

    fn outcomes(&self) -> [&'static str; Outcome::ALL.len()] {
        Outcome::ALL.map(Outcome::as_str)
    }

    fn times(&self) -> [(&'static str, &'static str); 4] {
        SINCE
    }
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let own = (!signed_in.manages).then(|| signed_in.session.user_id.to_string());
    let filter = Filter {
        event_id: None,
        outcome: filled(&asked.outcome),
        channel_id: filled(&asked.channel),
        user_id: own.or_else(|| filled(&asked.person)),
        last_seconds: asked.since.parse().ok().map(|minutes: u32| f64::from(minutes) * 60.0),
    };
    let (tenant_id, filter) = (&signed_in.session.tenant_id, &filter);
    let found = |mut tx: Tx| async move {
        let fates = db::ignored_events::list_fates(&mut tx, tenant_id, filter, LIMIT).await?;
        Ok::<_, DbError>((fates, db::profiles::list_names(&mut tx, tenant_id).await?))
    };
    match signed_in.read(&app, found).await {
        Ok((fates, names)) => {
            let events = Events { signed_in: &signed_in, here: "events", asked, fates, names };
            page(StatusCode::OK, &events)
        }
        Err(error) => trouble(&error),
    }
}

/// The story of an event that something was done about; of others the list tells all there is.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    Path(event_id): Path<String>,
) -> Response {
    let event_id = EventId::new(event_id);
    let asked = (&signed_in.session.tenant_id, &event_id);
    let found = |mut tx: Tx| async move { db::stories::find(&mut tx, asked.0, asked.1).await };
    match signed_in.read(&app, found).await {
        Ok(Some(story)) if signed_in.manages || story.user_id == signed_in.session.user_id.as_str() => {
            page(StatusCode::OK, &Event { signed_in: &signed_in, here: "events", event_id, story })
        }
        Ok(_) => landing::not_found().await,
        Err(error) => trouble(&error),
    }
}

pub(crate) async fn redrive(
    State(app): State<Arc<App>>,
    manager: Manager,
    Path(event_id): Path<String>,
) -> Response {
    act(&app, &manager, EventId::new(event_id), Action::Redriven).await
}

pub(crate) async fn discard(
    State(app): State<Arc<App>>,
    manager: Manager,
    Path(event_id): Path<String>,
) -> Response {
    act(&app, &manager, EventId::new(event_id), Action::Discarded).await
}

/// Does it and notes who did; an event that is not set aside any more is left as it is.
async fn act(app: &App, Manager(by): &Manager, event_id: EventId, action: Action) -> Response {
    let (tenant_id, actor) = (&by.session.tenant_id, by.session.user_id.as_str());
    let done = async {
        let mut tx = app.db.begin(tenant_id).await?;
        if db::stories::find(&mut tx, tenant_id, &event_id).await?.is_none() {
            return Ok(false);
        }
        let changed = match action {
            Action::Discarded => db::set_aside::discard(&mut tx, tenant_id, &event_id).await?,
            _ => db::set_aside::redrive(&mut tx, tenant_id, &event_id).await?,
        };
        if changed {
            db::audit_log::insert(&mut tx, tenant_id, actor, action, json!({ "event_id": event_id })).await?;
        }
        tx.commit().await?;
        Ok::<_, DbError>(true)
    };
    lead_to(&format!("/dashboard/events/{event_id}"), done.await).await
}

impl Event<'_> {
    fn is_set_aside(&self) -> bool {
        self.story.outcome.as_deref() == Some(Outcome::SetAside.as_str())
    }
}

/// How an event ended, as people see it.
trait Ending {
    fn in_words(&self, outcome: &Option<String>) -> String {
        match outcome.as_deref() {
            None => "waits".to_owned(),
            Some(outcome) => outcome.replace('_', " "),
        }
    }

    fn tone(&self, outcome: &Option<String>) -> &'static str {
        match outcome.as_deref() {
            Some("answered" | "welcomed" | "done") => "good",
            Some("set_aside") => "bad",
            _ => "plain",
        }
    }
}

impl Ending for Events<'_> {}

impl Ending for Event<'_> {}
