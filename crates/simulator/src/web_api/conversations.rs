//! `conversations.*`: reads channel and thread history.

use serde_json::{Value, json};

use super::invocation::Invocation;
use super::{WebApiError, WebApiResult};
use crate::fake_slack::{Channel, SlackMessage};

/// Maximum and default page size, in messages.
const HISTORY_PAGE_SIZES: (usize, usize) = (999, 100);
/// Maximum page size for an app outside the Marketplace.
const UNLISTED_PAGE_SIZES: (usize, usize) = (15, 15);

/// <https://docs.slack.dev/reference/methods/conversations.history>: roots, newest first.
pub(crate) fn history(call: &mut Invocation<'_>) -> WebApiResult {
    let channel = call.readable_channel()?;
    let roots = channel.messages.values().rev().filter(|message| message.thread_ts.is_none());
    call.paginate(channel, roots.collect())
}

/// <https://docs.slack.dev/reference/methods/conversations.replies>: a root and its replies, oldest first.
pub(crate) fn replies(call: &mut Invocation<'_>) -> WebApiResult {
    let channel = call.readable_channel()?;
    let thread = channel.thread(call.args.required("ts")?);
    if thread.is_empty() {
        return Err("thread_not_found".into());
    }
    call.paginate(channel, thread)
}

/// <https://docs.slack.dev/reference/methods/conversations.info>
pub(crate) fn info(call: &mut Invocation<'_>) -> WebApiResult {
    let team = call.slack.teams.get(&call.team).ok_or("team_not_found")?;
    let channel = team.channels.get(call.args.required("channel")?).ok_or("channel_not_found")?;
    let is_im = channel.person.is_some();
    let needed = if is_im { "im:read" } else { "channels:read" };
    if !call.bot()?.scopes.contains(needed) {
        return Err(call.missing_scope(needed));
    }
    Ok(json!({"channel": {
        "id": channel.id, "name": channel.name, "user": channel.person, "is_im": is_im,
        "is_channel": !is_im, "is_private": is_im, "is_archived": false,
        "is_member": channel.is_bot_member, "is_ext_shared": channel.is_ext_shared(),
        "context_team_id": call.team,
    }}))
}

/// <https://docs.slack.dev/reference/methods/conversations.open>, with one person.
pub(crate) fn open(call: &mut Invocation<'_>) -> WebApiResult {
    let users = call.args.required("users")?.to_owned();
    let team = call.slack.teams.get_mut(&call.team).ok_or("team_not_found")?;
    let id = team.open_dm(&users).ok_or("user_not_found")?;
    Ok(json!({"channel": {"id": id}}))
}

/// <https://docs.slack.dev/reference/methods/users.conversations>: the bot's own.
pub(crate) fn list_for_bot(call: &mut Invocation<'_>) -> WebApiResult {
    let team = call.slack.teams.get(&call.team).ok_or("team_not_found")?;
    let types = call.args.text("types").filter(|types| !types.is_empty()).unwrap_or("public_channel");
    let wanted = |channel: &Channel| {
        let kind = if channel.person.is_some() { "im" } else { "public_channel" };
        types.split(',').any(|wanted| wanted.trim() == kind)
    };
    let joined = team.channels.values().filter(|channel| channel.is_bot_member && wanted(channel));
    let channels: Vec<Value> = joined
        .map(|channel| match &channel.person {
            Some(user) => json!({"id": channel.id, "is_im": true, "user": user}),
            None => json!({"id": channel.id, "name": channel.name, "is_channel": true, "is_private": false}),
        })
        .collect();
    Ok(json!({"channels": channels, "response_metadata": {"next_cursor": ""}}))
}

impl Invocation<'_> {
    /// Returns the requested channel if the token may read its history.
    fn readable_channel(&self) -> Result<&Channel, WebApiError> {
        let channel = self.channel(self.args.required("channel")?)?;
        let needed = if channel.person.is_some() { "im:history" } else { "channels:history" };
        if self.bot()?.scopes.contains(needed) { Ok(channel) } else { Err(self.missing_scope(needed)) }
    }

    /// Returns one page of the messages between `oldest` and `latest`. The cursor is the position of the next
    /// page.
    fn paginate(&self, channel: &Channel, messages: Vec<&SlackMessage>) -> WebApiResult {
        let (most, usual) =
            if self.slack.settings.is_marketplace_app { HISTORY_PAGE_SIZES } else { UNLISTED_PAGE_SIZES };
        let limit = self.args.number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usual);
        let limit = limit.clamp(1, most);
        let start = match self.args.text("cursor").filter(|cursor| !cursor.is_empty()) {
            None => 0,
            Some(cursor) => {
                cursor.strip_prefix("next:").and_then(|at| at.parse().ok()).ok_or("invalid_cursor")?
            }
        };
        let bound = |name| self.args.text(name).filter(|ts| !ts.is_empty() && *ts != "0");
        let (oldest, latest, inclusive) = (bound("oldest"), bound("latest"), self.args.flag("inclusive"));
        let inside = |message: &&&SlackMessage| {
            let ts = message.ts.as_str();
            // Slack always returns the thread's root.
            let is_root =
                channel.replies.contains_key(ts) && messages.len() > 1 && message.thread_ts.is_none();
            let after = oldest.is_none_or(|oldest| ts > oldest || (inclusive && ts == oldest));
            let before = latest.is_none_or(|latest| ts < latest || (inclusive && ts == latest));
            (after && before) || (is_root && self.args.text("ts") == Some(ts))
        };
        let found: Vec<&&SlackMessage> = messages.iter().filter(inside).collect();
        let with_metadata = self.args.flag("include_all_metadata");
        let page: Vec<Value> = found
            .iter()
            .skip(start)
            .take(limit)
            .map(|message| {
                let replies = channel.replies.get(&message.ts).map(Vec::as_slice).unwrap_or_default();
                Value::Object(message.to_json(&self.team, replies, with_metadata))
            })
            .collect();
        let next = start.saturating_add(limit);
        let has_more = next < found.len();
        let cursor = if has_more { format!("next:{next}") } else { String::new() };
        Ok(json!({
            "messages": page, "has_more": has_more, "response_metadata": {"next_cursor": cursor},
        }))
    }
}
