//! Posts, updates and finds messages.

use models::{ChannelId, EventId, MessageTs, UserId};
use serde_json::{Value, json};

use crate::{BotAuth, Buttons, Client, SlackError, SlackErrorKind};

/// The longest `markdown_text`, in characters.
///
/// Source: <https://docs.slack.dev/reference/methods/chat.postMessage>
pub const MAX_MARKDOWN_CHARS: usize = 12_000;

/// The `event_type` of the bot's own metadata.
const METADATA_TYPE: &str = "enablebot_reply";

/// The longest `text` beside blocks, in characters: `chat.update` rejects more than 4,000.
const MAX_FALLBACK_TEXT_CHARS: usize = 3_000;

/// Metadata that marks a message as the bot's reply to an event, so that a post with an unknown result can be
/// found. Members of the workspace can read it, so it contains only ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageMetadata {
    /// The event that the reply answers.
    pub event_id: EventId,
    /// The offset in the reply at which this message begins. A reply can have several messages.
    pub part_start: usize,
}

impl MessageMetadata {
    pub(crate) fn to_json(&self) -> Value {
        let payload = json!({ "event_id": self.event_id, "part_start": self.part_start });
        json!({ "event_type": METADATA_TYPE, "event_payload": payload })
    }

    fn from_json(metadata: &Value) -> Option<Self> {
        let payload = metadata.get("event_payload")?;
        Some(Self {
            event_id: payload.get("event_id")?.as_str()?.into(),
            part_start: usize::try_from(payload.get("part_start")?.as_u64()?).ok()?,
        })
    }
}

/// A message to post.
#[derive(Clone, Debug)]
pub struct NewMessage<'a> {
    /// The channel.
    pub channel_id: &'a ChannelId,
    /// The thread; `None` posts to the channel itself.
    pub thread_ts: Option<&'a MessageTs>,
    /// The text, as Markdown of at most [`MAX_MARKDOWN_CHARS`] characters.
    pub markdown: &'a str,
    /// The reply that the message belongs to.
    pub metadata: &'a MessageMetadata,
    /// The buttons below the message.
    pub buttons: Option<Buttons>,
}

/// The new content of a message.
#[derive(Clone, Debug)]
pub struct MessageUpdate<'a> {
    /// The channel.
    pub channel_id: &'a ChannelId,
    /// The message.
    pub ts: &'a MessageTs,
    /// Its new text, as Markdown of at most [`MAX_MARKDOWN_CHARS`] characters.
    pub markdown: &'a str,
    /// The reply that the message belongs to. It is set again, since the message of a stream has no metadata.
    pub metadata: &'a MessageMetadata,
    /// The buttons below the message; `None` removes existing ones.
    pub buttons: Option<Buttons>,
}

/// A message of the bot that was found in Slack.
#[derive(Clone, Debug)]
pub struct PostedMessage {
    /// The message's `ts`.
    pub ts: MessageTs,
    /// The reply that the message belongs to; `None` for a stream that was not stopped.
    pub metadata: Option<MessageMetadata>,
}

impl Client {
    /// `chat.postMessage`: posts a message and returns its `ts`.
    pub async fn post_message(
        &self,
        bot: &BotAuth,
        message: &NewMessage<'_>,
    ) -> Result<MessageTs, SlackError> {
        const CHAT_POST_MESSAGE: &str = "chat.postMessage";
        let mut arguments = json!({
            "channel": message.channel_id,
            "metadata": message.metadata.to_json(),
            "unfurl_links": false,
            "unfurl_media": false,
        });
        if let Some(thread_ts) = message.thread_ts {
            arguments["thread_ts"] = json!(thread_ts);
        }
        let payloads = fallback_payloads(message.markdown, message.buttons, message.metadata);
        let response = self.call_with_fallbacks(CHAT_POST_MESSAGE, bot, &arguments, payloads).await?;
        parse_ts(CHAT_POST_MESSAGE, &response)
    }

    /// `chat.update`: replaces a message's text, its buttons and its metadata.
    pub async fn update_message(&self, bot: &BotAuth, update: &MessageUpdate<'_>) -> Result<(), SlackError> {
        let arguments = json!({
            "channel": update.channel_id, "ts": update.ts, "metadata": update.metadata.to_json(),
        });
        let payloads = fallback_payloads(update.markdown, update.buttons, update.metadata);
        self.call_with_fallbacks("chat.update", bot, &arguments, payloads).await.map(drop)
    }

    /// Calls a method with the first payload that Slack accepts. Slack does not show a payload that it
    /// rejects, so nothing is posted twice.
    pub(crate) async fn call_with_fallbacks(
        &self,
        method: &'static str,
        bot: &BotAuth,
        arguments: &Value,
        mut payloads: Vec<Value>,
    ) -> Result<Value, SlackError> {
        let last = payloads.pop().unwrap_or_default();
        for payload in payloads {
            match self.call(method, bot, merge_arguments(arguments, payload)).await {
                Err(error) if error.kind() == SlackErrorKind::InvalidContent => {
                    tracing::warn!(error = %error, "slack rejected content of {method}, sending plainer");
                }
                result => return result,
            }
        }
        self.call(method, bot, merge_arguments(arguments, last)).await
    }

    /// `conversations.open`: returns the DM with a person.
    pub async fn open_dm(&self, bot: &BotAuth, user_id: &UserId) -> Result<ChannelId, SlackError> {
        let response = self.call("conversations.open", bot, json!({ "users": user_id })).await?;
        let channel = response.pointer("/channel/id").and_then(Value::as_str);
        channel.map(ChannelId::from).ok_or_else(|| missing_field_error("conversations.open"))
    }

    /// `conversations.replies`: returns the bot's messages in a thread after a message. Call it only after a
    /// post with an unknown result: most apps may call this method only once a minute.
    pub async fn list_bot_replies(
        &self,
        bot: &BotAuth,
        channel_id: &ChannelId,
        thread_ts: &MessageTs,
        after: &MessageTs,
        bot_user_id: &UserId,
    ) -> Result<Vec<PostedMessage>, SlackError> {
        let arguments = [
            ("channel", channel_id.as_str()),
            ("ts", thread_ts.as_str()),
            ("oldest", after.as_str()),
            ("include_all_metadata", "true"),
            ("limit", "15"),
        ];
        let response = self.call_form("conversations.replies", bot, &arguments).await?;
        Ok(parse_bot_messages(&response, bot_user_id).filter(|message| message.ts > *after).collect())
    }

    /// `conversations.history`: returns the bot's last messages in a DM. It has the same rate limit as
    /// [`Client::list_bot_replies`].
    pub async fn list_bot_messages(
        &self,
        bot: &BotAuth,
        channel_id: &ChannelId,
        bot_user_id: &UserId,
    ) -> Result<Vec<PostedMessage>, SlackError> {
        let arguments = [("channel", channel_id.as_str()), ("include_all_metadata", "true"), ("limit", "15")];
        let response = self.call_form("conversations.history", bot, &arguments).await?;
        Ok(parse_bot_messages(&response, bot_user_id).collect())
    }
}

/// Returns the payloads for a message, from the richest to the plainest.
/// Source: <https://docs.slack.dev/reference/methods/chat.update>
fn fallback_payloads(markdown: &str, buttons: Option<Buttons>, metadata: &MessageMetadata) -> Vec<Value> {
    // With buttons everything has to be in blocks, and `text` is for notifications. Without buttons
    // `markdown_text` alone is enough: like `text` alone, it also replaces the blocks of an earlier version.
    let blocks = buttons.map(|buttons| {
        let blocks = [json!({ "type": "markdown", "text": markdown }), buttons.to_block(&metadata.event_id)];
        json!({ "text": plain_text_fallback(markdown), "blocks": blocks })
    });
    let plainer = [json!({ "markdown_text": markdown }), json!({ "text": markdown })];
    blocks.into_iter().chain(plainer).collect()
}

fn merge_arguments(arguments: &Value, payload: Value) -> Value {
    let mut merged = arguments.clone();
    if let (Value::Object(merged), Value::Object(payload)) = (&mut merged, payload) {
        merged.extend(payload);
    }
    merged
}

/// Returns the start of a Markdown text as plain text, for notifications and screen readers.
pub(crate) fn plain_text_fallback(markdown: &str) -> String {
    let strip_markup =
        |line: &str| line.trim_start_matches('#').trim_start().replace("**", "").replace('`', "");
    let lines = markdown.lines().filter(|line| !line.trim_start().starts_with("```")).map(strip_markup);
    let plain = lines.collect::<Vec<_>>().join("\n");
    crate::escape(plain.trim()).chars().take(MAX_FALLBACK_TEXT_CHARS).collect()
}

fn parse_bot_messages<'a>(
    response: &'a Value,
    bot_user_id: &'a UserId,
) -> impl Iterator<Item = PostedMessage> + 'a {
    let messages = response.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    messages
        .iter()
        .filter(|message| message.get("user").and_then(Value::as_str) == Some(bot_user_id.as_str()))
        .filter_map(|message| {
            let metadata = message.get("metadata").and_then(MessageMetadata::from_json);
            Some(PostedMessage { ts: message.get("ts")?.as_str()?.into(), metadata })
        })
}

pub(crate) fn parse_ts(method: &'static str, response: &Value) -> Result<MessageTs, SlackError> {
    response.get("ts").and_then(Value::as_str).map(MessageTs::from).ok_or_else(|| missing_field_error(method))
}

pub(crate) fn missing_field_error(method: &'static str) -> SlackError {
    SlackError::transport(method, "a response without an expected field")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads_of(markdown: &str, buttons: Option<Buttons>) -> Vec<Value> {
        fallback_payloads(markdown, buttons, &MessageMetadata { event_id: "Ev1".into(), part_start: 0 })
    }

    #[test]
    fn buttons_are_sent_as_blocks() {
        let plainer = [json!({ "markdown_text": "**Hi**" }), json!({ "text": "**Hi**" })];
        assert_eq!(payloads_of("**Hi**", None), plainer);
        assert_eq!(payloads_of("**Hi**", Some(Buttons::Stop))[1..], plainer);
        let markdown = format!("## Title\n**Bold** `code`\n{}", "ä".repeat(11_000));
        let content = &payloads_of(&markdown, Some(Buttons::Stop))[0];
        assert!(content.get("markdown_text").is_none());
        assert_eq!(content["blocks"][0], json!({ "type": "markdown", "text": markdown }));
        assert_eq!(content["blocks"][1]["elements"][0]["value"], "Ev1");
        let text = content["text"].as_str().unwrap();
        assert!(
            text.starts_with("Title\nBold code\nää") && text.chars().count() == MAX_FALLBACK_TEXT_CHARS,
            "{text}"
        );
    }
}
