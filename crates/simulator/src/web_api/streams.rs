//! `chat.*Stream`: a message that grows (<https://docs.slack.dev/ai/developing-agents>).

use serde_json::json;

use super::invocation::Invocation;
use super::{WebApiError, WebApiResult, content};
use crate::fake_slack::MessageContent;

/// States a session can be in (<https://docs.slack.dev/ai/agent-sessions>).
pub(crate) const SESSION_STATES: [&str; 4] = ["processing", "active", "suspended", "closed"];

/// <https://docs.slack.dev/reference/methods/chat.startStream>
pub(crate) fn start(call: &mut Invocation<'_>) -> WebApiResult {
    let channel = call.channel(call.args.required("channel")?)?;
    let id = channel.id.clone();
    if channel.person.is_none() {
        call.check_recipient()?;
    }
    if call.args.text("thread_ts").is_none() {
        call.args.required("thread_ts")?;
    }
    let root = call.parse_thread(&id)?.ok_or("invalid_thread_ts")?;
    let text = content::parse_stream_text(&call.args)?;
    let team = call.team.clone();
    let ts = call.slack.start_stream(&team, &id, &root, text).ok_or("account_inactive")?;
    Ok(json!({"channel": id, "ts": ts}))
}

/// <https://docs.slack.dev/reference/methods/chat.appendStream>
pub(crate) fn append(call: &mut Invocation<'_>) -> WebApiResult {
    let (channel, ts) = call.streaming_message()?;
    if call.channel(&channel)?.messages.get(&ts).is_some_and(|message| message.is_stopped) {
        return Err("stopped_by_user".into());
    }
    let text = content::parse_stream_text(&call.args)?;
    if text.is_empty() && call.args.json("chunks", "invalid_chunks")?.is_none() {
        return Err("no_text".into());
    }
    let team = call.team.clone();
    call.slack.append_stream(&team, &channel, &ts, &text);
    Ok(json!({"channel": channel, "ts": ts}))
}

/// <https://docs.slack.dev/reference/methods/chat.stopStream>
pub(crate) fn stop(call: &mut Invocation<'_>) -> WebApiResult {
    let (channel, ts) = call.streaming_message()?;
    let last = MessageContent {
        text: content::parse_stream_text(&call.args)?,
        is_markdown: true,
        blocks: content::parse_blocks(&call.args)?,
        metadata: content::parse_metadata(&call.args)?,
    };
    let state = call.args.text("session_status").unwrap_or("active").to_owned();
    if !SESSION_STATES.contains(&state.as_str()) {
        return Err(WebApiError::with_message(
            "invalid_arguments",
            "session_status is not one of its values",
        ));
    }
    let team = call.team.clone();
    call.slack.stop_stream(&team, &channel, &ts, last, &state);
    let message = call.channel(&channel)?.messages.get(&ts);
    let message = message.map(|message| message.to_json(&team, &[], true));
    Ok(json!({"channel": channel, "ts": ts, "message": message}))
}

impl Invocation<'_> {
    /// Finds the app's own message that is still streaming.
    fn streaming_message(&self) -> Result<(String, String), WebApiError> {
        let (channel, ts) = self.own_message("message_not_owned_by_app")?;
        let streaming = self.channel(&channel)?.messages.get(&ts).is_some_and(|message| message.is_streaming);
        if streaming { Ok((channel, ts)) } else { Err("message_not_in_streaming_state".into()) }
    }

    /// Outside DMs a stream names its recipient, who may belong to another team.
    fn check_recipient(&self) -> Result<(), WebApiError> {
        let named = |name| self.args.text(name).filter(|value| !value.is_empty());
        let user = named("recipient_user_id").ok_or("missing_recipient_user_id")?;
        let team = named("recipient_team_id").ok_or("missing_recipient_team_id")?;
        let team = self.slack.teams.get(team).ok_or("team_not_found")?;
        team.find_person(user).map(drop).ok_or_else(|| "user_not_found".into())
    }
}
