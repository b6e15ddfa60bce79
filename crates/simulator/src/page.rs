//! The page's own routes: its files, and what its scripts ask for.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt};
use rust_embed::RustEmbed;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::wrappers::BroadcastStream;

use crate::shared::Shared;
use crate::world::{Change, Message, PostMessage, World, millis_of};

/// Messages of a channel that the page shows.
const SHOWN: usize = 400;

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(async || asset(Path("index.html".to_owned())).await))
        .route("/assets/{*path}", get(asset))
        // Where Slack opens an app's conversation; here that is the page itself.
        .route("/app_redirect", get(async || Redirect::to("/")))
        .route("/page/team", get(team))
        .route("/page/messages", get(messages))
        .route("/page/changes", get(changes))
        .route("/page/post", post(write))
        .route("/page/open", post(open))
        .route("/page/stop", post(stop))
        .route("/page/invite", post(invite))
        .route("/page/uninstall", post(uninstall))
}

async fn asset(Path(path): Path<String>) -> Response {
    match Assets::get(&path) {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(file) => {
            let kind = file.metadata.mimetype().to_owned();
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache".to_owned())], file.data)
                .into_response()
        }
    }
}

/// Where on the page, and who; what does not matter to a route is left out.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Place {
    team: String,
    channel: String,
    user: String,
    thread_ts: Option<String>,
    text: String,
}

async fn team(State(shared): State<Arc<Shared>>, Query(place): Query<Place>) -> Response {
    let team = shared.with(|world| team_json(world, &place.team));
    team.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |team| Json(team).into_response())
}

fn team_json(world: &World, id: &str) -> Option<Value> {
    let team = world.teams.get(id).or_else(|| world.teams.values().next())?;
    let bot = team.installation.as_ref().map(|bot| json!({"user": bot.bot_user_id, "id": bot.bot_id}));
    let channels = team.channels.values().map(|channel| {
        json!({"id": channel.id, "name": channel.name, "person": channel.person, "joined": channel.bot_is_member})
    });
    let teams = world.teams.values().map(|team| json!({"id": team.id, "name": team.name}));
    Some(json!({
        "id": team.id, "name": team.name, "people": team.people, "bot": bot,
        "channels": channels.collect::<Vec<_>>(), "teams": teams.collect::<Vec<_>>(),
        "app": world.settings.app_name, "install_url": world.settings.install_url,
    }))
}

async fn messages(State(shared): State<Arc<Shared>>, Query(place): Query<Place>) -> Json<Value> {
    shared.with(|world| {
        let found = world.teams.get(&place.team).and_then(|team| {
            let channel = team.channels.get(&place.channel)?;
            let skipped = channel.messages.len().saturating_sub(SHOWN);
            let public = channel.messages.values().skip(skipped).map(|message| shown(message, None));
            let private = channel.ephemerals.iter().filter(|(to, _)| *to == place.user);
            let mut all: Vec<Value> =
                public.chain(private.map(|(to, message)| shown(message, Some(to)))).collect();
            all.sort_by(|a, b| a["ts"].as_str().cmp(&b["ts"].as_str()));
            let statuses = team.sessions.iter().filter(|((channel, _), _)| *channel == place.channel);
            let statuses =
                statuses.filter_map(|((_, ts), session)| Some((ts.clone(), json!(session.shown()?))));
            Some(json!({"messages": all, "statuses": statuses.collect::<serde_json::Map<_, _>>()}))
        });
        Json(found.unwrap_or_else(|| json!({"messages": [], "statuses": {}})))
    })
}

/// A message as the page gets it; `to` is the one person who sees an ephemeral one.
fn shown(message: &Message, to: Option<&String>) -> Value {
    let mut json = serde_json::to_value(message).unwrap_or_default();
    json["at"] = json!(millis_of(&message.ts));
    json["to"] = json!(to);
    json
}

/// Every change of a team, with what changed as it is when it is sent.
async fn changes(
    State(shared): State<Arc<Shared>>,
    Query(place): Query<Place>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut stopping = shared.stopping.subscribe();
    let changes = BroadcastStream::new(shared.changes.subscribe());
    let events = changes.filter_map(move |change| {
        let event = match change {
            Ok(change) => shared.with(|world| describe(world, &place.team, &change)),
            // Too much at once: the page is to load everything again.
            Err(_) => Some(json!({"type": "reload"})),
        };
        std::future::ready(event.map(|event| Ok(Event::default().data(event.to_string()))))
    });
    let events = events.take_until(async move { drop(stopping.wait_for(|stopping| *stopping).await) });
    Sse::new(events).keep_alive(KeepAlive::default())
}

fn describe(world: &World, team: &str, change: &Change) -> Option<Value> {
    let mut event = serde_json::to_value(change).ok()?;
    if event["team"] != team {
        return None;
    }
    match change {
        Change::Message { team, channel, ts } => {
            let channel = world.teams.get(team)?.channels.get(channel)?;
            let private = || channel.ephemerals.iter().rev().find(|(_, message)| message.ts == *ts);
            event["message"] = match channel.messages.get(ts) {
                Some(message) => shown(message, None),
                None => private().map(|(to, message)| shown(message, Some(to)))?,
            };
        }
        Change::Status { team, channel, thread_ts } => {
            event["status"] = json!(world.status(team, channel, thread_ts));
        }
        Change::Deleted { .. } | Change::Team { .. } | Change::Logged => {}
    }
    Some(event)
}

/// Posts what a person typed: escaped, and with names made mentions, as Slack's client does.
async fn write(State(shared): State<Arc<Shared>>, Json(place): Json<Place>) -> Response {
    let posted = shared.with(|world| {
        let text = as_sent(world, &place);
        let Place { team, channel, user, thread_ts, .. } = place;
        world.post(PostMessage { team, channel, user, text, thread_ts, ..PostMessage::default() })
    });
    match posted {
        Ok(ts) => Json(json!({"ts": ts})).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

fn as_sent(world: &World, place: &Place) -> String {
    let mut text = place.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let Some(team) = world.teams.get(&place.team) else { return text };
    let people = team.people.iter().map(|person| (person.name.as_str(), person.id.as_str()));
    let bot =
        team.installation.iter().map(|bot| (world.settings.app_name.as_str(), bot.bot_user_id.as_str()));
    for (name, id) in people.chain(bot) {
        text = text.replace(&format!("@{name}"), &format!("<@{id}>"));
    }
    text
}

/// Opening the DM is an event of its own (<https://docs.slack.dev/reference/events/app_home_opened>).
async fn open(State(shared): State<Arc<Shared>>, Json(place): Json<Place>) -> StatusCode {
    shared.with(|world| {
        let event_ts = world.next_ts();
        let Place { team, channel, user, .. } = place;
        let event = json!({
            "type": "app_home_opened", "user": user, "channel": channel, "tab": "messages", "event_ts": event_ts,
        });
        world.announce(&team, &team, false, event);
    });
    StatusCode::NO_CONTENT
}

/// The stop button (<https://docs.slack.dev/ai/agent-sessions>): the app is told, and is to stop by itself.
async fn stop(State(shared): State<Arc<Shared>>, Json(place): Json<Place>) -> StatusCode {
    let root = place.thread_ts.unwrap_or_default();
    shared.with(|world| {
        let thread = world.thread(&place.team, &place.channel, &root);
        let streaming: Vec<String> = thread
            .into_iter()
            .filter(|message| message.streaming)
            .map(|message| message.ts.clone())
            .collect();
        let event = json!({
            "type": "agent_session_stopped", "channel": place.channel, "thread_ts": root, "user": place.user,
            "streaming_message_ts": streaming, "event_ts": world.next_ts(),
        });
        world.announce(&place.team, &place.team, false, event);
    });
    StatusCode::NO_CONTENT
}

async fn invite(State(shared): State<Arc<Shared>>, Json(place): Json<Place>) -> StatusCode {
    match shared.with(|world| world.invite(&place.team, &place.channel)) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::NOT_FOUND,
    }
}

async fn uninstall(State(shared): State<Arc<Shared>>, Json(place): Json<Place>) -> StatusCode {
    shared.with(|world| world.uninstall(&place.team, "account_inactive"));
    StatusCode::NO_CONTENT
}
