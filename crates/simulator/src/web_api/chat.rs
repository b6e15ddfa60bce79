//! `chat.*` for messages that do not stream.

use serde_json::{Value, json};

use super::invocation::Invocation;
use super::{WebApiError, WebApiResult, content};
use crate::fake_slack::SlackMessage;

/// <https://docs.slack.dev/reference/methods/chat.postMessage>
pub(crate) fn post_message(call: &mut Invocation<'_>) -> WebApiResult {
    let channel = call.resolve_destination()?;
    let content = content::parse_post(&call.args)?;
    let thread_ts = call.parse_thread(&channel)?;
    let team = call.team.clone();
    let ts = call.slack.post_as_bot(&team, &channel, thread_ts, content).ok_or("account_inactive")?;
    call.message_response(&channel, &ts)
}

/// <https://docs.slack.dev/reference/methods/chat.postEphemeral>
pub(crate) fn post_ephemeral(call: &mut Invocation<'_>) -> WebApiResult {
    let channel = call.resolve_destination()?;
    let user = call.args.required("user")?.to_owned();
    let content = content::parse_post(&call.args)?;
    let thread_ts = call.parse_thread(&channel)?;
    let place = call.channel(&channel)?;
    // A shared channel also has members of other teams.
    let outsider = match &place.person {
        Some(person) => *person != user,
        None => call.slack.find_home_team(&user).is_none(),
    };
    if outsider {
        return Err("user_not_in_channel".into());
    }
    let team = call.team.clone();
    let message = call.slack.new_bot_message(&team, thread_ts, content).ok_or("account_inactive")?;
    let ts = call.slack.add_ephemeral(&team, &channel, user, message);
    Ok(json!({"message_ts": ts}))
}

/// <https://docs.slack.dev/reference/methods/chat.update>
pub(crate) fn update(call: &mut Invocation<'_>) -> WebApiResult {
    let (channel, ts) = call.own_message("cant_update_message")?;
    let content = content::parse_update(&call.args)?;
    let team = call.team.clone();
    if call.slack.message_mut(&team, &channel, &ts).is_some_and(|message| message.is_streaming) {
        return Err("streaming_state_conflict".into());
    }
    call.slack.update_message(&team, &channel, &ts, content);
    call.message_response(&channel, &ts)
}

/// <https://docs.slack.dev/reference/methods/chat.delete>
pub(crate) fn delete(call: &mut Invocation<'_>) -> WebApiResult {
    let (channel, ts) = call.own_message("cant_delete_message")?;
    let team = call.team.clone();
    call.slack.delete_message(&team, &channel, &ts);
    Ok(json!({"channel": channel, "ts": ts}))
}

impl Invocation<'_> {
    /// Resolves the target channel; a `U…` means the DM with that person.
    pub(crate) fn resolve_destination(&mut self) -> Result<String, WebApiError> {
        let id = self.args.required("channel")?.to_owned();
        let team = self.slack.teams.get_mut(&self.team).ok_or("team_not_found")?;
        let id = if id.starts_with('U') { team.open_dm(&id).ok_or("channel_not_found")? } else { id };
        self.channel(&id).map(|channel| channel.id.clone())
    }

    /// Finds the app's own message by `channel` and `ts`.
    pub(crate) fn own_message(&self, not_owned_error: &'static str) -> Result<(String, String), WebApiError> {
        let channel = self.channel(self.args.required("channel")?)?;
        let message = channel.messages.get(self.args.required("ts")?).ok_or("message_not_found")?;
        let bot = &self.bot()?.bot_id;
        if message.bot_id.as_ref() != Some(bot) {
            return Err(not_owned_error.into());
        }
        Ok((channel.id.clone(), message.ts.clone()))
    }

    /// Builds the response of a call that wrote a message.
    fn message_response(&self, channel: &str, ts: &str) -> WebApiResult {
        let message = self.channel(channel)?.messages.get(ts);
        let message: Option<Value> =
            message.map(|message: &SlackMessage| Value::Object(message.to_json(&self.team, &[], true)));
        let text = message.as_ref().map(|message| message["text"].clone());
        Ok(json!({"channel": channel, "ts": ts, "text": text, "message": message}))
    }
}
