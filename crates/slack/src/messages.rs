//! Posting, updating and finding messages.

use models::{ChannelId, EventId, MessageTs, UserId};
use serde_json::{Value, json};

use crate::{BotAuth, Buttons, Client, SlackError, SlackErrorKind};

/// Characters that `markdown_text` takes. Source: <https://docs.slack.dev/reference/methods/chat.postMessage>
pub const MAX_MARKDOWN_CHARS: usize = 12_000;

/// The `event_type` of the bot's own metadata.
const METADATA_TYPE: &str = "enablebot_reply";

/// Characters of `text` beside blocks: `chat.update` refuses more than 4,000.
const MAX_FALLBACK_TEXT_CHARS: usize = 3_000;

/// What marks a message as the bot's answer to one event, so that a post whose fate is unknown can be looked for.
/// Members of the workspace can read it: it holds ids only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageMetadata {
    /// The event that is answered.
    pub event_id: EventId,
    /// Where in the answer this message begins; an answer of several messages has several.
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
    /// Where.
    pub channel_id: &'a ChannelId,
    /// In which thread; `None` posts to the channel itself.
    pub thread_ts: Option<&'a MessageTs>,
    /// What, as Markdown of at most [`MAX_MARKDOWN_CHARS`] characters.
    pub markdown: &'a str,
    /// Which answer it is.
    pub metadata: &'a MessageMetadata,
    /// What can be pressed under it.
    pub buttons: Option<Buttons>,
}

/// What a message is to be from now on.
#[derive(Clone, Debug)]
pub struct MessageUpdate<'a> {
    /// Where.
    pub channel_id: &'a ChannelId,
    /// Which message.
    pub ts: &'a MessageTs,
    /// Its new text, as Markdown of at most [`MAX_MARKDOWN_CHARS`] characters.
    pub markdown: &'a str,
    /// Which answer it is; set too, since a stream's message has none.
    pub metadata: &'a MessageMetadata,
    /// What can be pressed under it; `None` takes away what was there.
    pub buttons: Option<Buttons>,
}

/// One of the bot's messages, as found.
#[derive(Clone, Debug)]
pub struct PostedMessage {
    /// Its `ts`.
    pub ts: MessageTs,
    /// Which answer it is; a stream that nobody stopped has none.
    pub metadata: Option<MessageMetadata>,
}

impl Client {
    /// `chat.postMessage`; returns the message's `ts`.
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
        let forms = fallback_payloads(message.markdown, message.buttons, message.metadata);
        parse_ts(
            CHAT_POST_MESSAGE,
            &self.call_with_fallbacks(CHAT_POST_MESSAGE, bot, &arguments, forms).await?,
        )
    }

    /// `chat.update`: replaces a message's text, its buttons and its metadata.
    pub async fn update_message(&self, bot: &BotAuth, update: &MessageUpdate<'_>) -> Result<(), SlackError> {
        let arguments = json!({
            "channel": update.channel_id, "ts": update.ts, "metadata": update.metadata.to_json(),
        });
        let forms = fallback_payloads(update.markdown, update.buttons, update.metadata);
        self.call_with_fallbacks("chat.update", bot, &arguments, forms).await.map(drop)
    }

    /// Calls with the first of the forms that Slack takes. What it refuses it has not shown, so that the next try repeats
    /// nothing.
    pub(crate) async fn call_with_fallbacks(
        &self,
        method: &'static str,
        bot: &BotAuth,
        arguments: &Value,
        mut payloads: Vec<Value>,
    ) -> Result<Value, SlackError> {
        let last = payloads.pop().unwrap_or_default();
        for form in payloads {
            match self.call(method, bot, merge_arguments(arguments, form)).await {
                Err(error) if error.kind() == SlackErrorKind::InvalidContent => {
                    tracing::warn!(error = %error, "a message is sent in a plainer form");
                }
                result => return result,
            }
        }
        self.call(method, bot, merge_arguments(arguments, last)).await
    }

    /// `conversations.open`: the DM with a person.
    pub async fn open_dm(&self, bot: &BotAuth, user_id: &UserId) -> Result<ChannelId, SlackError> {
        let answer = self.call("conversations.open", bot, json!({ "users": user_id })).await?;
        let channel = answer.pointer("/channel/id").and_then(Value::as_str);
        channel.map(ChannelId::from).ok_or_else(|| missing_field_error("conversations.open"))
    }

    /// `conversations.replies`: the bot's messages of a thread after a message. Only for a post whose fate is unknown:
    /// most apps may call this once a minute.
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
        let answer = self.call_form("conversations.replies", bot, &arguments).await?;
        Ok(parse_bot_messages(&answer, bot_user_id).filter(|message| message.ts > *after).collect())
    }

    /// `conversations.history`: the bot's last messages of a DM; under the same limit as
    /// [`Client::list_bot_replies`].
    pub async fn list_bot_messages(
        &self,
        bot: &BotAuth,
        channel_id: &ChannelId,
        bot_user_id: &UserId,
    ) -> Result<Vec<PostedMessage>, SlackError> {
        let arguments = [("channel", channel_id.as_str()), ("include_all_metadata", "true"), ("limit", "15")];
        let answer = self.call_form("conversations.history", bot, &arguments).await?;
        Ok(parse_bot_messages(&answer, bot_user_id).collect())
    }
}

/// What a message can be sent as, the plainest last. Markdown alone where there are no buttons: Slack shows `text` without
/// blocks in place of the blocks that were there, and so it does with `markdown_text`. With buttons all is blocks, and
/// the text is for notifications. Source: <https://docs.slack.dev/reference/methods/chat.update>
fn fallback_payloads(markdown: &str, buttons: Option<Buttons>, metadata: &MessageMetadata) -> Vec<Value> {
    let blocks = buttons.map(|buttons| {
        let blocks = [json!({ "type": "markdown", "text": markdown }), buttons.to_block(&metadata.event_id)];
        json!({ "text": plain_text_fallback(markdown), "blocks": blocks })
    });
    let plainer = [json!({ "markdown_text": markdown }), json!({ "text": markdown })];
    blocks.into_iter().chain(plainer).collect()
}

fn merge_arguments(arguments: &Value, form: Value) -> Value {
    let mut joined = arguments.clone();
    if let (Value::Object(joined), Value::Object(form)) = (&mut joined, form) {
        joined.extend(form);
    }
    joined
}

/// The beginning of Markdown as one would read it aloud, for notifications and screen readers.
pub(crate) fn plain_text_fallback(markdown: &str) -> String {
    let marks = |line: &str| line.trim_start_matches('#').trim_start().replace("**", "").replace('`', "");
    let lines = markdown.lines().filter(|line| !line.trim_start().starts_with("```")).map(marks);
    let plain = lines.collect::<Vec<_>>().join("\n");
    crate::escape(plain.trim()).chars().take(MAX_FALLBACK_TEXT_CHARS).collect()
}

fn parse_bot_messages<'a>(
    answer: &'a Value,
    bot_user_id: &'a UserId,
) -> impl Iterator<Item = PostedMessage> + 'a {
    let messages = answer.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    messages
        .iter()
        .filter(|message| message.get("user").and_then(Value::as_str) == Some(bot_user_id.as_str()))
        .filter_map(|message| {
            let metadata = message.get("metadata").and_then(MessageMetadata::from_json);
            Some(PostedMessage { ts: message.get("ts")?.as_str()?.into(), metadata })
        })
}

pub(crate) fn parse_ts(method: &'static str, answer: &Value) -> Result<MessageTs, SlackError> {
    answer.get("ts").and_then(Value::as_str).map(MessageTs::from).ok_or_else(|| missing_field_error(method))
}

pub(crate) fn missing_field_error(method: &'static str) -> SlackError {
    SlackError::Transport { method, reason: "an answer without its id".into() }
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
        let answer = format!("## Title\n**Bold** `code`\n{}", "ä".repeat(11_000));
        let content = &payloads_of(&answer, Some(Buttons::Stop))[0];
        assert!(content.get("markdown_text").is_none());
        assert_eq!(content["blocks"][0], json!({ "type": "markdown", "text": answer }));
        assert_eq!(content["blocks"][1]["elements"][0]["value"], "Ev1");
        let text = content["text"].as_str().unwrap();
        assert!(
            text.starts_with("Title\nBold code\nää") && text.chars().count() == MAX_FALLBACK_TEXT_CHARS,
            "{text}"
        );
    }
}
