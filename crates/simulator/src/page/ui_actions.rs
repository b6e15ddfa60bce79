//! Actions that a person takes on the page.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use crate::fake_slack::{Click, FakeSlack, NewFile, PostMessage, SlashCommand};
use crate::interaction_requests::{send_click, send_command, send_home_click};
use crate::state::SimulatorState;

/// Bytes of a message with its files.
const MAX_PAGE_POST_BYTES: usize = 64 * 1024 * 1024;

pub(crate) fn routes() -> Router<Arc<SimulatorState>> {
    Router::new()
        .route("/page/post", post(post_message).layer(DefaultBodyLimit::max(MAX_PAGE_POST_BYTES)))
        .route("/page/command", post(run_command))
        .route("/page/click", post(click))
        .route("/page/open", post(open_tab))
        .route("/page/stop", post(stop_session))
        .route("/page/invite", post(invite))
        .route("/page/uninstall", post(uninstall))
}

/// The person, the channel and the target of an action. Routes ignore fields that they do not need.
#[derive(Default, Deserialize)]
#[serde(default)]
struct UiAction {
    team: String,
    channel: String,
    user: String,
    thread_ts: Option<String>,
    text: String,
    files: Vec<AttachedFile>,
    command: String,
    /// The tab of the app that is opened.
    tab: String,
    /// The channel one came to the app from.
    from: Option<String>,
    /// The message whose button is clicked; `None` for the Home tab.
    ts: Option<String>,
    action_id: String,
    value: Option<String>,
}

/// A file as the page sends it.
#[derive(Deserialize)]
struct AttachedFile {
    name: String,
    mimetype: String,
    /// Base64.
    content: String,
}

impl AttachedFile {
    fn decode(self) -> anyhow::Result<NewFile> {
        let content = STANDARD.decode(self.content)?.into();
        Ok(NewFile { name: self.name, mimetype: self.mimetype, content })
    }
}

/// Posts typed text. Escapes it and turns names into mentions, as Slack's client does.
async fn post_message(State(shared): State<Arc<SimulatorState>>, Json(act): Json<UiAction>) -> Response {
    let posted = shared.with(|slack| {
        let text = escape_text(slack, &act);
        let UiAction { team, channel, user, thread_ts, files, .. } = act;
        let files = files.into_iter().map(AttachedFile::decode).collect::<anyhow::Result<_>>()?;
        slack.post(PostMessage { team, channel, user, text, thread_ts, files, ..PostMessage::default() })
    });
    match posted {
        Ok(ts) => Json(json!({"ts": ts})).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

fn escape_text(slack: &FakeSlack, act: &UiAction) -> String {
    let mut text = act.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let Some(team) = slack.teams.get(&act.team) else { return text };
    let people = team.people.iter().map(|person| (person.name.as_str(), person.id.as_str()));
    let bot =
        team.installation.iter().map(|bot| (slack.settings.app_name.as_str(), bot.bot_user_id.as_str()));
    for (name, id) in people.chain(bot) {
        text = text.replace(&format!("@{name}"), &format!("<@{id}>"));
    }
    text
}

async fn run_command(State(shared): State<Arc<SimulatorState>>, Json(act): Json<UiAction>) -> Response {
    let UiAction { team, user, channel, command, text, .. } = &act;
    let said = send_command(&shared, &SlashCommand { team, user, channel, command, text }).await;
    app_status_response(&shared, said.map(|(status, _)| status))
}

async fn click(State(shared): State<Arc<SimulatorState>>, Json(act): Json<UiAction>) -> Response {
    let value = act.value.as_deref();
    let click = Click { team: &act.team, user: &act.user, action_id: &act.action_id, value };
    let told_app = match &act.ts {
        Some(ts) => send_click(&shared, &click, &act.channel, ts).await,
        None => send_home_click(&shared, &click).await,
    };
    app_status_response(&shared, told_app)
}

/// Returns an error sentence if the app could not be reached.
fn app_status_response(shared: &SimulatorState, answer: anyhow::Result<u16>) -> Response {
    let app = &shared.settings.app_name;
    let why = match answer {
        Ok(200..=299) => return StatusCode::NO_CONTENT.into_response(),
        Ok(status) => format!("{app} answered with an error ({status})."),
        Err(error) if error.is::<reqwest::Error>() => format!("{app} did not answer in time."),
        Err(error) => format!("{error:#}."),
    };
    (StatusCode::BAD_GATEWAY, why).into_response()
}

/// Opens a tab of the app while a channel stays visible beside it.
async fn open_tab(State(shared): State<Arc<SimulatorState>>, Json(act): Json<UiAction>) -> StatusCode {
    shared.with(|slack| {
        if act.from.is_some() {
            slack.view_channel(&act.team, &act.user, act.from.as_deref());
        }
        slack.open_app_tab(&act.team, &act.user, &act.tab);
    });
    StatusCode::NO_CONTENT
}

async fn stop_session(State(shared): State<Arc<SimulatorState>>, Json(act): Json<UiAction>) -> StatusCode {
    let root = act.thread_ts.unwrap_or_default();
    shared.with(|slack| slack.stop_session(&act.team, &act.user, &act.channel, &root));
    StatusCode::NO_CONTENT
}

async fn invite(State(shared): State<Arc<SimulatorState>>, Json(act): Json<UiAction>) -> StatusCode {
    match shared.with(|slack| slack.invite(&act.team, &act.channel)) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::NOT_FOUND,
    }
}

async fn uninstall(State(shared): State<Arc<SimulatorState>>, Json(act): Json<UiAction>) -> StatusCode {
    shared.with(|slack| slack.uninstall(&act.team, "account_inactive"));
    StatusCode::NO_CONTENT
}
