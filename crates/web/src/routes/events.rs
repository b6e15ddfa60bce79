//! `/dashboard/events`: events with outcome and reason, and retry and discard of dead letters.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::audit_log::AuditAction;
use db::event_timeline::EventTimeline;
use db::ignored_events::{EventFilter, EventSummary};
use db::{DbError, Tx};
use models::{EventId, EventOutcome, UserId};
use serde::Deserialize;
use serde_json::json;

use super::responses::{database_error, non_empty, not_found, redirect_or_404};
use crate::auth::{CurrentUser, WorkspaceAdmin};
use crate::page::render_page;
use crate::state::WebState;

/// Maximum number of events on a page.
const MAX_EVENT_ROWS: i64 = 100;

/// Query of the list. Empty fields are not set.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventQuery {
    outcome: String,
    channel: String,
    person: String,
    /// Only events of the last minutes.
    since: String,
}

#[derive(Template)]
#[template(path = "events.html")]
struct EventListPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    query: EventQuery,
    events: Vec<EventSummary>,
    names: HashMap<UserId, String>,
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    event_id: EventId,
    timeline: EventTimeline,
}

const SINCE_OPTIONS: [(&str, &str); 4] =
    [("60", "last hour"), ("1440", "last 24 hours"), ("10080", "last 7 days"), ("43200", "last 30 days")];

impl EventListPage<'_> {
    /// Returns the name of a person, or the id if the name is unknown.
    fn name<'a>(&'a self, user_id: &'a Option<String>) -> &'a str {
        let Some(user_id) = user_id else { return "" };
        self.names.get(&UserId::from(user_id.as_str())).map_or(user_id, String::as_str)
    }

    fn has_filter(&self) -> bool {
        let EventQuery { outcome, channel, person, since } = &self.query;
        [outcome, channel, person, since].iter().any(|text| !text.is_empty())
    }

    fn outcomes(&self) -> [&'static str; EventOutcome::ALL_OUTCOMES.len()] {
        EventOutcome::ALL_OUTCOMES.map(EventOutcome::as_str)
    }

    fn since_options(&self) -> [(&'static str, &'static str); 4] {
        SINCE_OPTIONS
    }
}

pub(crate) async fn list(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let own = (!signed_in.is_admin).then(|| signed_in.session.user_id.to_string());
    let filter = EventFilter {
        event_id: None,
        outcome: non_empty(&query.outcome),
        channel_id: non_empty(&query.channel),
        user_id: own.or_else(|| non_empty(&query.person)),
        last_seconds: query.since.parse().ok().map(|minutes: u32| f64::from(minutes) * 60.0),
    };
    let (tenant_id, filter) = (&signed_in.session.tenant_id, &filter);
    let load = |mut tx: Tx| async move {
        let events = db::ignored_events::list_outcomes(&mut tx, tenant_id, filter, MAX_EVENT_ROWS).await?;
        Ok::<_, DbError>((events, db::profiles::list_names(&mut tx, tenant_id).await?))
    };
    match signed_in.read(&app, load).await {
        Ok((events, names)) => {
            let page = EventListPage { signed_in: &signed_in, active_page: "events", query, events, names };
            render_page(StatusCode::OK, &page)
        }
        Err(error) => database_error(&error),
    }
}

/// Shows the timeline of an event. Ignored events have none.
pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    Path(event_id): Path<String>,
) -> Response {
    let event_id = EventId::new(event_id);
    let (tenant_id, id) = (&signed_in.session.tenant_id, &event_id);
    let load = |mut tx: Tx| async move { db::event_timeline::find(&mut tx, tenant_id, id).await };
    let may_see = |timeline: &EventTimeline| {
        signed_in.is_admin || timeline.user_id == signed_in.session.user_id.as_str()
    };
    match signed_in.read(&app, load).await {
        Ok(Some(timeline)) if may_see(&timeline) => render_page(
            StatusCode::OK,
            &EventPage { signed_in: &signed_in, active_page: "events", event_id, timeline },
        ),
        Ok(_) => not_found().await,
        Err(error) => database_error(&error),
    }
}

pub(crate) async fn redrive(
    State(app): State<Arc<WebState>>,
    admin: WorkspaceAdmin,
    Path(event_id): Path<String>,
) -> Response {
    apply_action(&app, &admin, EventId::new(event_id), AuditAction::Redriven).await
}

pub(crate) async fn discard(
    State(app): State<Arc<WebState>>,
    admin: WorkspaceAdmin,
    Path(event_id): Path<String>,
) -> Response {
    apply_action(&app, &admin, EventId::new(event_id), AuditAction::Discarded).await
}

/// Runs an action and records it. An event that is no longer a dead letter is left unchanged.
async fn apply_action(
    app: &WebState,
    WorkspaceAdmin(by): &WorkspaceAdmin,
    event_id: EventId,
    action: AuditAction,
) -> Response {
    let (tenant_id, actor) = (&by.session.tenant_id, by.session.user_id.as_str());
    let done = async {
        let mut tx = app.db.begin(tenant_id).await?;
        if db::event_timeline::find(&mut tx, tenant_id, &event_id).await?.is_none() {
            return Ok(false);
        }
        let changed = match action {
            AuditAction::Discarded => db::dead_letters::discard(&mut tx, tenant_id, &event_id).await?,
            _ => db::dead_letters::redrive(&mut tx, tenant_id, &event_id).await?,
        };
        if changed {
            db::audit_log::insert(&mut tx, tenant_id, actor, action, json!({ "event_id": event_id })).await?;
        }
        tx.commit().await?;
        Ok::<_, DbError>(true)
    };
    redirect_or_404(&format!("/dashboard/events/{event_id}"), done.await).await
}

impl EventPage<'_> {
    fn is_dead_letter(&self) -> bool {
        self.timeline.outcome.as_deref() == Some(EventOutcome::DeadLettered.as_str())
    }
}

/// Labels and badges of outcomes.
trait OutcomeDisplay {
    fn outcome_label(&self, outcome: &Option<String>) -> String {
        match outcome.as_deref() {
            None => "waiting".to_owned(),
            Some(outcome) => crate::format::outcome_label(outcome),
        }
    }

    fn badge_class(&self, outcome: &Option<String>) -> &'static str {
        match outcome.as_deref() {
            Some("answered" | "welcomed" | "done") => "good",
            Some("set_aside") => "bad",
            _ => "plain",
        }
    }
}

impl OutcomeDisplay for EventListPage<'_> {}

impl OutcomeDisplay for EventPage<'_> {}
