//! What the app says about its work in a thread: `agents.sessions.*`, and `assistant.threads.*` of before.

use std::time::Instant;

use serde_json::{Value, json};

use super::dispatch::Invocation;
use super::streams::STATES;
use super::{Answer, Refusal};

/// <https://docs.slack.dev/reference/methods/agents.sessions.setStatus>
pub(crate) fn set_state(call: &mut Invocation<'_>) -> Answer {
    let (channel, root) = call.session_thread()?;
    let state = call.args.required("status")?.to_owned();
    if !STATES.contains(&state.as_str()) {
        return Err(Refusal::explained("invalid_arguments", "status is not one of its values"));
    }
    let team = call.team.clone();
    call.world.set_session_state(&team, &channel, &root, &state);
    if let Some(title) = call.args.text("title").map(str::to_owned) {
        call.world.session(&team, &channel, &root, |session| session.title = Some(title));
    }
    Ok(json!({}))
}

/// <https://docs.slack.dev/reference/methods/agents.sessions.rename>
pub(crate) fn rename(call: &mut Invocation<'_>) -> Answer {
    let (channel, root) = call.session_thread()?;
    let title = call.args.required("title")?.to_owned();
    if title.chars().count() > 200 {
        return Err(Refusal::explained("invalid_arguments", "title: must be less than 201 characters"));
    }
    let key = (channel, root);
    let known = call.world.teams.get(&call.team).is_some_and(|team| team.sessions.contains_key(&key));
    if !known {
        return Err("session_not_found".into());
    }
    let team = call.team.clone();
    call.world.session(&team, &key.0, &key.1, |session| session.title = Some(title));
    Ok(json!({}))
}

/// <https://docs.slack.dev/reference/methods/assistant.threads.setStatus>; `""` clears it.
pub(crate) fn set_status(call: &mut Invocation<'_>) -> Answer {
    let (channel, root) = call.session_thread()?;
    let Some(status) = call.args.text("status").map(str::to_owned) else {
        return Err(Refusal::explained("invalid_arguments", "missing required field: status"));
    };
    let messages = call.args.json("loading_messages", "invalid_arguments")?;
    if messages.as_ref().and_then(Value::as_array).is_some_and(|messages| messages.len() > 10) {
        return Err(Refusal::explained(
            "invalid_arguments",
            "loading_messages: no more than 10 items allowed",
        ));
    }
    let team = call.team.clone();
    let text = Some((status, Instant::now())).filter(|(status, _)| !status.is_empty());
    call.world.session(&team, &channel, &root, |session| session.text = text);
    Ok(json!({}))
}

/// <https://docs.slack.dev/reference/methods/assistant.threads.setTitle>
pub(crate) fn set_title(call: &mut Invocation<'_>) -> Answer {
    let (channel, root) = call.session_thread()?;
    let title = call.args.required("title")?.to_owned();
    let team = call.team.clone();
    call.world.session(&team, &channel, &root, |session| session.title = Some(title));
    Ok(json!({}))
}

/// <https://docs.slack.dev/reference/methods/assistant.threads.setSuggestedPrompts>
pub(crate) fn set_prompts(call: &mut Invocation<'_>) -> Answer {
    let channel = call.channel(call.args.required("channel_id")?)?.id.clone();
    let root = call.thread(&channel)?.unwrap_or_default();
    let prompts = call.args.json("prompts", "invalid_arguments")?.unwrap_or_default();
    let complete = |prompt: &Value| prompt["title"].is_string() && prompt["message"].is_string();
    match prompts.as_array() {
        Some(list) if (1..=4).contains(&list.len()) && list.iter().all(complete) => {}
        _ => return Err(Refusal::explained("invalid_arguments", "prompts: 1 to 4 of title and message")),
    }
    let team = call.team.clone();
    call.world.session(&team, &channel, &root, |session| session.prompts = Some(prompts));
    Ok(json!({}))
}

impl Invocation<'_> {
    /// `channel_id` and `thread_ts`, both needed here.
    fn session_thread(&self) -> Result<(String, String), Refusal> {
        let channel = self.channel(self.args.required("channel_id")?)?.id.clone();
        let root = self.thread(&channel)?.ok_or("thread_ts_required")?;
        Ok((channel, root))
    }
}
