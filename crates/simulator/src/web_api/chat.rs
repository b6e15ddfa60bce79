//! `chat.*` for messages that are whole at once.

use serde_json::{Value, json};

use super::dispatch::Invocation;
use super::{Answer, Refusal, content};
use crate::world::Message;

/// <https://docs.slack.dev/reference/methods/chat.postMessage>
pub(crate) fn post_message(call: &mut Invocation<'_>) -> Answer {
    let channel = call.destination()?;
    let content = content::to_post(&call.args)?;
    let thread_ts = call.thread(&channel)?;
    let team = call.team.clone();
    let ts = call.world.post_as_bot(&team, &channel, thread_ts, content).ok_or("account_inactive")?;
    call.written(&channel, &ts)
}

/// <https://docs.slack.dev/reference/methods/chat.postEphemeral>
pub(crate) fn post_ephemeral(call: &mut Invocation<'_>) -> Answer {
    let channel = call.destination()?;
    let user = call.args.required("user")?.to_owned();
    let content = content::to_post(&call.args)?;
    let thread_ts = call.thread(&channel)?;
    let place = call.channel(&channel)?;
    // In a shared channel people of other teams are at home too.
    let outsider = match &place.person {
        Some(person) => *person != user,
        None => call.world.home_of(&user).is_none(),
    };
    if outsider {
        return Err("user_not_in_channel".into());
    }
    let team = call.team.clone();
    let message = call.world.bot_message(&team, thread_ts, content).ok_or("account_inactive")?;
    let ts = call.world.add_ephemeral(&team, &channel, user, message);
    Ok(json!({"message_ts": ts}))
}

/// <https://docs.slack.dev/reference/methods/chat.update>
pub(crate) fn update(call: &mut Invocation<'_>) -> Answer {
    let (channel, ts) = call.own_message("cant_update_message")?;
    let content = content::to_update(&call.args)?;
    let team = call.team.clone();
    if call.world.message_mut(&team, &channel, &ts).is_some_and(|message| message.streaming) {
        return Err("streaming_state_conflict".into());
    }
    call.world.update(&team, &channel, &ts, content);
    call.written(&channel, &ts)
}

/// <https://docs.slack.dev/reference/methods/chat.delete>
pub(crate) fn delete(call: &mut Invocation<'_>) -> Answer {
    let (channel, ts) = call.own_message("cant_delete_message")?;
    let team = call.team.clone();
    call.world.delete(&team, &channel, &ts);
    Ok(json!({"channel": channel, "ts": ts}))
}

impl Invocation<'_> {
    /// The channel to write to; a `U…` stands for the DM with that person.
    pub(crate) fn destination(&mut self) -> Result<String, Refusal> {
        let id = self.args.required("channel")?.to_owned();
        let team = self.world.teams.get_mut(&self.team).ok_or("team_not_found")?;
        let id = if id.starts_with('U') { team.open_dm(&id).ok_or("channel_not_found")? } else { id };
        self.channel(&id).map(|channel| channel.id.clone())
    }

    /// The message that `channel` and `ts` name, if the app wrote it.
    pub(crate) fn own_message(&self, otherwise: &'static str) -> Result<(String, String), Refusal> {
        let channel = self.channel(self.args.required("channel")?)?;
        let message = channel.messages.get(self.args.required("ts")?).ok_or("message_not_found")?;
        let bot = &self.bot()?.bot_id;
        if message.bot_id.as_ref() != Some(bot) {
            return Err(otherwise.into());
        }
        Ok((channel.id.clone(), message.ts.clone()))
    }

    /// The answer of a call that wrote a message.
    fn written(&self, channel: &str, ts: &str) -> Answer {
        let message = self.channel(channel)?.messages.get(ts);
        let message: Option<Value> =
            message.map(|message: &Message| Value::Object(message.to_slack(&self.team, &[], true)));
        let text = message.as_ref().map(|message| message["text"].clone());
        Ok(json!({"channel": channel, "ts": ts, "text": text, "message": message}))
    }
}
