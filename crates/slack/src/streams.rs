//! Streaming messages, which grow while the model writes.
//! Source: <https://docs.slack.dev/reference/methods/chat.startStream>

use models::{ChannelId, MessageTs, TeamId, UserId};
use serde_json::json;

use crate::messages::{MessageMetadata, parse_ts};
use crate::{BotAuth, Buttons, Client, SlackError};

/// The recipient of a stream. Slack requires both ids outside DMs.
#[derive(Clone, Debug)]
pub struct Recipient<'a> {
    /// The person whom the bot replies to.
    pub user_id: &'a UserId,
    /// That person's own workspace.
    pub team_id: &'a TeamId,
}

/// A stream to start.
#[derive(Clone, Debug)]
pub struct NewStream<'a> {
    /// The channel.
    pub channel_id: &'a ChannelId,
    /// The thread. Slack rejects a stream without one.
    pub thread_ts: &'a MessageTs,
    /// The recipient.
    pub recipient: Option<Recipient<'a>>,
    /// The first part of the text, as Markdown.
    pub markdown: &'a str,
}

impl Client {
    /// `chat.startStream`: starts a message and returns its `ts`.
    pub async fn start_stream(&self, bot: &BotAuth, stream: &NewStream<'_>) -> Result<MessageTs, SlackError> {
        let mut arguments = json!({
            "channel": stream.channel_id, "thread_ts": stream.thread_ts, "markdown_text": stream.markdown,
        });
        if let Some(recipient) = &stream.recipient {
            arguments["recipient_user_id"] = json!(recipient.user_id);
            arguments["recipient_team_id"] = json!(recipient.team_id);
        }
        let response = self.call("chat.startStream", bot, arguments).await?;
        parse_ts("chat.startStream", &response)
    }

    /// `chat.appendStream`: appends text.
    pub async fn append_stream(
        &self,
        bot: &BotAuth,
        channel_id: &ChannelId,
        ts: &MessageTs,
        markdown: &str,
    ) -> Result<(), SlackError> {
        let arguments = json!({ "channel": channel_id, "ts": ts, "markdown_text": markdown });
        self.call("chat.appendStream", bot, arguments).await.map(drop)
    }

    /// `chat.stopStream`: ends a message with its last text, buttons and metadata.
    pub async fn stop_stream(
        &self,
        bot: &BotAuth,
        channel_id: &ChannelId,
        ts: &MessageTs,
        markdown: &str,
        metadata: &MessageMetadata,
        buttons: Option<Buttons>,
    ) -> Result<(), SlackError> {
        let mut arguments = json!({ "channel": channel_id, "ts": ts, "metadata": metadata.to_json() });
        if !markdown.is_empty() {
            arguments["markdown_text"] = json!(markdown);
        }
        let with_buttons = buttons.map(|buttons| json!({ "blocks": [buttons.to_block(&metadata.event_id)] }));
        let payloads = with_buttons.into_iter().chain([json!({})]).collect();
        self.call_with_fallbacks("chat.stopStream", bot, &arguments, payloads).await.map(drop)
    }
}
