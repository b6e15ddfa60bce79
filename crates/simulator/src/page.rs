//! Routes of the chat page: static files and data for its scripts.

mod ui_actions;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{Stream, StreamExt};
use rust_embed::RustEmbed;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::wrappers::BroadcastStream;

use crate::fake_slack::{AgentSession, FakeSlack, SlackMessage, StateChange, parse_millis};
use crate::state::SimulatorState;

/// Maximum messages of a channel that the page shows.
const MAX_PAGE_MESSAGES: usize = 400;

#[derive(RustEmbed)]
#[folder = "assets/"]
struct SimulatorAssets;

pub(crate) fn routes() -> Router<Arc<SimulatorState>> {
    Router::new()
        .route("/", get(async || serve_asset(Path("index.html".to_owned())).await))
        .route("/assets/{*path}", get(serve_asset))
        // Slack opens the app's conversation here; the simulator shows its page.
        .route("/app_redirect", get(async || Redirect::to("/")))
        .route("/page/team", get(show_team))
        .route("/page/messages", get(list_messages))
        .route("/page/changes", get(stream_changes))
        .route("/page/file", get(download_file))
        .merge(ui_actions::routes())
}

async fn serve_asset(Path(path): Path<String>) -> Response {
    match SimulatorAssets::get(&path) {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(file) => {
            let kind = file.metadata.mimetype().to_owned();
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache".to_owned())], file.data)
                .into_response()
        }
    }
}

/// The location on the page and the person. Routes ignore fields that they do not need.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PageQuery {
    team: String,
    channel: String,
    user: String,
}

async fn show_team(State(shared): State<Arc<SimulatorState>>, Query(place): Query<PageQuery>) -> Response {
    let team = shared.with(|slack| team_json(slack, &place.team));
    team.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |team| Json(team).into_response())
}

fn team_json(slack: &FakeSlack, id: &str) -> Option<Value> {
    let team = slack.teams.get(id).or_else(|| slack.teams.values().next())?;
    let bot = team.installation.as_ref().map(|bot| json!({"user": bot.bot_user_id, "id": bot.bot_id}));
    let channels = team.channels.values().map(|channel| {
        json!({"id": channel.id, "name": channel.name, "person": channel.person, "joined": channel.is_bot_member})
    });
    let teams = slack.teams.values().map(|team| json!({"id": team.id, "name": team.name}));
    Some(json!({
        "id": team.id, "name": team.name, "people": team.people, "bot": bot,
        "channels": channels.collect::<Vec<_>>(), "teams": teams.collect::<Vec<_>>(),
        "app": slack.settings.app_name, "install_url": slack.settings.install_url,
        "agent": slack.settings.has_agent_sessions, "home_tab": slack.settings.has_home_tab,
        "command": slack.find_command(&team.id),
    }))
}

async fn list_messages(
    State(shared): State<Arc<SimulatorState>>,
    Query(place): Query<PageQuery>,
) -> Json<Value> {
    shared.with(|slack| {
        let found = slack.teams.get(&place.team).and_then(|team| {
            let channel = team.channels.get(&place.channel)?;
            let skipped = channel.messages.len().saturating_sub(MAX_PAGE_MESSAGES);
            let public = channel.messages.values().skip(skipped).map(|message| message_json(message, None));
            let private = channel.ephemerals.iter().filter(|(to, _)| *to == place.user);
            let mut all: Vec<Value> =
                public.chain(private.map(|(to, message)| message_json(message, Some(to)))).collect();
            all.sort_by(|a, b| a["ts"].as_str().cmp(&b["ts"].as_str()));
            let sessions = team.sessions.iter().filter(|((channel, _), _)| *channel == place.channel);
            let sessions = sessions.map(|((_, ts), session)| (ts.clone(), session_json(session)));
            let home = channel.person.as_ref().and_then(|person| team.homes.get(person));
            let sessions: serde_json::Map<_, _> = sessions.collect();
            Some(json!({"messages": all, "sessions": sessions, "home": home}))
        });
        Json(found.unwrap_or_else(|| json!({"messages": [], "sessions": {}, "home": null})))
    })
}

/// The app's status in a thread.
fn session_json(session: &AgentSession) -> Value {
    json!({"status": session.visible_status(), "title": session.title, "prompts": session.suggested_prompts})
}

/// A message in the page's format; `to` is the person who sees an ephemeral one.
fn message_json(message: &SlackMessage, to: Option<&String>) -> Value {
    let mut json = serde_json::to_value(message).unwrap_or_default();
    json["at"] = json!(parse_millis(&message.ts));
    json["to"] = json!(to);
    json
}

/// A file of a message.
#[derive(Deserialize)]
struct FileQuery {
    team: String,
    channel: String,
    ts: String,
    file: String,
}

async fn download_file(
    State(shared): State<Arc<SimulatorState>>,
    Query(wanted): Query<FileQuery>,
) -> Response {
    let file = shared.with(|slack| {
        let message = slack.message_mut(&wanted.team, &wanted.channel, &wanted.ts)?;
        message.files.iter().find(|file| file.id == wanted.file).cloned()
    });
    match file {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(file) => {
            let headers =
                [(header::CONTENT_TYPE, file.mimetype), (header::CONTENT_DISPOSITION, "attachment".into())];
            (headers, file.content).into_response()
        }
    }
}

/// Streams every change of a team with the changed object's current state.
async fn stream_changes(
    State(shared): State<Arc<SimulatorState>>,
    Query(place): Query<PageQuery>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut stopping = shared.stopping.subscribe();
    let changes = BroadcastStream::new(shared.changes.subscribe());
    let events = changes.filter_map(move |change| {
        let event = match change {
            Ok(change) => shared.with(|slack| change_json(slack, &place.team, &change)),
            // The page missed changes and must reload everything.
            Err(_) => Some(json!({"type": "reload"})),
        };
        std::future::ready(event.map(|event| Ok(Event::default().data(event.to_string()))))
    });
    let events = events.take_until(async move { drop(stopping.wait_for(|stopping| *stopping).await) });
    Sse::new(events).keep_alive(KeepAlive::default())
}

fn change_json(slack: &FakeSlack, team: &str, change: &StateChange) -> Option<Value> {
    let mut event = serde_json::to_value(change).ok()?;
    if event["team"] != team {
        return None;
    }
    match change {
        StateChange::Message { team, channel, ts } => {
            let channel = slack.teams.get(team)?.channels.get(channel)?;
            let private = || channel.ephemerals.iter().rev().find(|(_, message)| message.ts == *ts);
            event["message"] = match channel.messages.get(ts) {
                Some(message) => message_json(message, None),
                None => private().map(|(to, message)| message_json(message, Some(to)))?,
            };
        }
        StateChange::Status { team, channel, thread_ts } => {
            let key = (channel.clone(), thread_ts.clone());
            event["session"] = session_json(slack.teams.get(team)?.sessions.get(&key)?);
        }
        StateChange::Home { team, user } => event["home"] = json!(slack.home(team, user)),
        StateChange::Deleted { .. } | StateChange::Team { .. } | StateChange::Logged => {}
    }
    Some(event)
}
