//! Status, title and prompts of a thread: `agents.sessions.*` and the older `assistant.threads.*`.

use std::time::Instant;

use serde_json::{Value, json};

use super::invocation::Invocation;
use super::streams::SESSION_STATES;
use super::{WebApiError, WebApiResult};
use crate::fake_slack::{ASSISTANT_THREAD_SUBTYPE, MessageContent};

/// Maximum characters of a session's title.
const MAX_SESSION_TITLE_CHARS: usize = 200;

/// <https://docs.slack.dev/reference/methods/agents.sessions.setStatus>
pub(crate) fn set_session_status(call: &mut Invocation<'_>) -> WebApiResult {
    let (channel, root) = call.agent_thread()?;
    let state = call.args.required("status")?.to_owned();
    if !SESSION_STATES.contains(&state.as_str()) {
        return invalid_arguments("status is not one of its values");
    }
    let title = call.args.text("title").map(str::to_owned);
    if title.as_ref().is_some_and(|title| title.chars().count() > MAX_SESSION_TITLE_CHARS) {
        return invalid_arguments("title: must be less than 201 characters");
    }
    let team = call.team.clone();
    let is_new = !call.has_session(&channel, &root);
    call.slack.set_session_state(&team, &channel, &root, &state);
    // An existing session keeps its title; `rename` changes it.
    if let Some(title) = title.filter(|_| is_new) {
        call.slack.update_session(&team, &channel, &root, |session| session.title = Some(title));
    }
    let title = call.slack.title(&team, &channel, &root);
    Ok(json!({"status": state, "title": title}))
}

/// <https://docs.slack.dev/reference/methods/agents.sessions.rename>
pub(crate) fn rename(call: &mut Invocation<'_>) -> WebApiResult {
    let (channel, root) = call.agent_thread()?;
    let title = call.args.required("title")?.to_owned();
    if title.chars().count() > MAX_SESSION_TITLE_CHARS {
        return invalid_arguments("title: must be less than 201 characters");
    }
    if !call.has_session(&channel, &root) {
        return Err("session_not_found".into());
    }
    let team = call.team.clone();
    call.slack.update_session(&team, &channel, &root, |session| session.title = Some(title));
    Ok(json!({}))
}

/// <https://docs.slack.dev/reference/methods/assistant.threads.setStatus>; `""` clears it.
pub(crate) fn set_thread_status(call: &mut Invocation<'_>) -> WebApiResult {
    let (channel, root) = call.session_thread()?;
    let Some(status) = call.args.text("status").map(str::to_owned) else {
        return invalid_arguments("missing required field: status");
    };
    let messages = call.args.json("loading_messages", "invalid_arguments")?;
    if messages.as_ref().and_then(Value::as_array).is_some_and(|messages| messages.len() > 10) {
        return invalid_arguments("loading_messages: no more than 10 items allowed");
    }
    let team = call.team.clone();
    let text = Some((status, Instant::now())).filter(|(status, _)| !status.is_empty());
    call.slack.update_session(&team, &channel, &root, |session| session.status_text = text);
    Ok(json!({}))
}

/// <https://docs.slack.dev/reference/methods/assistant.threads.setTitle>. An assistant's thread bears its
/// title as its root, whose change the app is told of as of any other.
pub(crate) fn set_title(call: &mut Invocation<'_>) -> WebApiResult {
    let (channel, root) = call.session_thread()?;
    let title = call.args.required("title")?.to_owned();
    let team = call.team.clone();
    let message = call.slack.message_mut(&team, &channel, &root);
    if message.is_some_and(|message| message.subtype.as_deref() == Some(ASSISTANT_THREAD_SUBTYPE)) {
        let content = MessageContent { text: title.clone(), ..MessageContent::default() };
        call.slack.update_message(&team, &channel, &root, content);
    }
    call.slack.update_session(&team, &channel, &root, |session| session.title = Some(title));
    Ok(json!({}))
}

/// <https://docs.slack.dev/reference/methods/assistant.threads.setSuggestedPrompts>
pub(crate) fn set_prompts(call: &mut Invocation<'_>) -> WebApiResult {
    let channel = call.channel(call.args.required("channel_id")?)?.id.clone();
    let root = call.parse_thread(&channel)?;
    let prompts = call.args.json("prompts", "invalid_arguments")?.unwrap_or_default();
    let complete = |prompt: &Value| prompt["title"].is_string() && prompt["message"].is_string();
    match prompts.as_array() {
        Some(list) if (1..=4).contains(&list.len()) && list.iter().all(complete) => {}
        _ => return invalid_arguments("prompts: 1 to 4 of title and message"),
    }
    let root = match (call.slack.settings.has_agent_sessions, root) {
        // Slack documents that this call with a thread fails silently for agents.
        (true, Some(_)) => return Ok(json!({})),
        (true, None) => String::new(),
        (false, Some(root)) => root,
        (false, None) => return invalid_arguments("missing required field: thread_ts"),
    };
    let team = call.team.clone();
    call.slack.update_session(&team, &channel, &root, |session| session.suggested_prompts = Some(prompts));
    Ok(json!({}))
}

fn invalid_arguments(line: &str) -> WebApiResult {
    Err(WebApiError::with_message("invalid_arguments", line))
}

impl Invocation<'_> {
    /// Reads `channel_id` and `thread_ts` for an app with `agent_view`.
    fn agent_thread(&self) -> Result<(String, String), WebApiError> {
        if self.slack.settings.has_agent_sessions {
            self.session_thread()
        } else {
            Err("feature_disabled".into())
        }
    }

    /// Reads the required `channel_id` and `thread_ts`.
    fn session_thread(&self) -> Result<(String, String), WebApiError> {
        let channel = self.channel(self.args.required("channel_id")?)?.id.clone();
        let root = self.parse_thread(&channel)?.ok_or("thread_ts_required")?;
        Ok((channel, root))
    }

    fn has_session(&self, channel: &str, root: &str) -> bool {
        let key = (channel.to_owned(), root.to_owned());
        self.slack.teams.get(&self.team).is_some_and(|team| team.sessions.contains_key(&key))
    }
}
