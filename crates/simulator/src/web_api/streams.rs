//! `chat.*Stream`: a message that grows (<https://docs.slack.dev/ai/developing-agents>).

use serde_json::json;

use super::dispatch::Invocation;
use super::{Answer, Refusal, content};
use crate::world::Content;

/// States a session can be in (<https://docs.slack.dev/ai/agent-sessions>).
pub(crate) const STATES: [&str; 4] = ["processing", "active", "suspended", "closed"];

/// <https://docs.slack.dev/reference/methods/chat.startStream>
pub(crate) fn start(call: &mut Invocation<'_>) -> Answer {
    let channel = call.channel(call.args.required("channel")?)?;
    let id = channel.id.clone();
    if channel.person.is_none() {
        call.check_recipient()?;
    }
    if call.args.text("thread_ts").is_none() {
        call.args.required("thread_ts")?;
    }
    let root = call.thread(&id)?.ok_or("invalid_thread_ts")?;
    let text = content::streamed(&call.args)?;
    let team = call.team.clone();
    let ts = call.world.start_stream(&team, &id, &root, text).ok_or("account_inactive")?;
    Ok(json!({"channel": id, "ts": ts}))
}

/// <https://docs.slack.dev/reference/methods/chat.appendStream>
pub(crate) fn append(call: &mut Invocation<'_>) -> Answer {
    let (channel, ts) = call.stream()?;
    if call.channel(&channel)?.messages.get(&ts).is_some_and(|message| message.stopped) {
        return Err("stopped_by_user".into());
    }
    let text = content::streamed(&call.args)?;
    if text.is_empty() && call.args.json("chunks", "invalid_chunks")?.is_none() {
        return Err("no_text".into());
    }
    let team = call.team.clone();
    call.world.append_stream(&team, &channel, &ts, &text);
    Ok(json!({"channel": channel, "ts": ts}))
}

/// <https://docs.slack.dev/reference/methods/chat.stopStream>
pub(crate) fn stop(call: &mut Invocation<'_>) -> Answer {
    let (channel, ts) = call.stream()?;
    let last = Content {
        text: content::streamed(&call.args)?,
        markdown: true,
        blocks: content::blocks(&call.args)?,
        metadata: content::metadata(&call.args)?,
    };
    let state = call.args.text("session_status").unwrap_or("active").to_owned();
    if !STATES.contains(&state.as_str()) {
        return Err(Refusal::explained("invalid_arguments", "session_status is not one of its values"));
    }
    let team = call.team.clone();
    call.world.stop_stream(&team, &channel, &ts, last, &state);
    let message = call.channel(&channel)?.messages.get(&ts);
    let message = message.map(|message| message.to_slack(&team, &[], true));
    Ok(json!({"channel": channel, "ts": ts, "message": message}))
}

impl Invocation<'_> {
    /// The app's own message, still streaming.
    fn stream(&self) -> Result<(String, String), Refusal> {
        let (channel, ts) = self.own_message("message_not_owned_by_app")?;
        let streaming = self.channel(&channel)?.messages.get(&ts).is_some_and(|message| message.streaming);
        if streaming { Ok((channel, ts)) } else { Err("message_not_in_streaming_state".into()) }
    }

    /// Outside DMs a stream is for someone, who may be of another team.
    fn check_recipient(&self) -> Result<(), Refusal> {
        let named = |name| self.args.text(name).filter(|value| !value.is_empty());
        let user = named("recipient_user_id").ok_or("missing_recipient_user_id")?;
        let team = named("recipient_team_id").ok_or("missing_recipient_team_id")?;
        let team = self.world.teams.get(team).ok_or("team_not_found")?;
        team.person(user).map(drop).ok_or_else(|| "user_not_found".into())
    }
}
