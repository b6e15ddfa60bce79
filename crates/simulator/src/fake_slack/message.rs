//! A message, and its shape on the wire.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::SlackFile;
use super::team::APP_ID;

/// A message as it stands now.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SlackMessage {
    /// Its id in the channel.
    pub ts: String,
    /// What kind of message it is, where it is no plain one.
    pub subtype: Option<String>,
    /// The root it answers; None for a root.
    pub thread_ts: Option<String>,
    /// Who wrote it; the bot user for the app's, and empty for a `new_bot_message`.
    pub user: String,
    /// Set on messages of apps.
    pub bot_id: Option<String>,
    /// Set on messages of apps.
    pub app_id: Option<String>,
    /// As it was sent, escapes and all.
    pub text: String,
    /// Whether `text` is Markdown (`markdown_text`, streams) and not mrkdwn.
    #[serde(rename = "markdown")]
    pub is_markdown: bool,
    /// Blocks; under the text of a stream, instead of the text elsewhere.
    pub blocks: Option<Value>,
    /// Whether it was begun by `chat.startStream`.
    #[serde(rename = "streamed")]
    pub is_stream: bool,
    /// Whether it can still be appended to.
    #[serde(rename = "streaming")]
    pub is_streaming: bool,
    /// Whether a person stopped it; the app has still to end the stream.
    #[serde(rename = "stopped")]
    pub is_stopped: bool,
    /// Whether it was changed.
    #[serde(rename = "edited")]
    pub is_edited: bool,
    /// `event_type` and `event_payload`, as posted.
    pub metadata: Option<Value>,
    /// Set on what a person's client sent.
    pub client_msg_id: Option<String>,
    /// Files shown with it.
    pub files: Vec<SlackFile>,
    /// Names of the reactions the app added.
    pub reactions: Vec<String>,
}

/// What a call puts into a message.
#[derive(Default)]
pub(crate) struct MessageContent {
    pub(crate) text: String,
    pub(crate) is_markdown: bool,
    pub(crate) blocks: Option<Value>,
    pub(crate) metadata: Option<Value>,
}

impl SlackMessage {
    /// What people read: the Markdown of its blocks where it has some (then `text` is for notifications), else the text.
    pub fn visible_text(&self) -> String {
        let blocks = self.blocks.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let markdown: Vec<&str> = blocks
            .iter()
            .filter(|block| block["type"] == "markdown")
            .filter_map(|block| block["text"].as_str())
            .collect();
        if markdown.is_empty() { self.text.clone() } else { markdown.join("\n") }
    }

    /// Whether the app of this Slack wrote it.
    pub(crate) fn is_own(&self) -> bool {
        self.app_id.as_deref() == Some(APP_ID)
    }

    /// The message as events and methods write it. `replies` are those of a root.
    pub(crate) fn to_json(&self, team: &str, replies: &[String], with_metadata: bool) -> Map<String, Value> {
        let mut slack = Map::new();
        let mut put = |key: &str, value: Value| slack.insert(key.to_owned(), value);
        put("type", json!("message"));
        if let Some(subtype) = &self.subtype {
            put("subtype", json!(subtype));
        }
        if !self.user.is_empty() {
            put("user", json!(self.user));
        }
        put("team", json!(team));
        put("ts", json!(self.ts));
        put("text", json!(self.text));
        if let Some(client_msg_id) = &self.client_msg_id {
            put("client_msg_id", json!(client_msg_id));
        }
        if let Some(bot_id) = &self.bot_id {
            put("bot_id", json!(bot_id));
            put("app_id", json!(self.app_id));
        }
        if let Some(blocks) = &self.blocks {
            put("blocks", blocks.clone());
        }
        if !self.files.is_empty() {
            put("files", self.files.iter().map(SlackFile::to_message_json).collect());
        }
        if self.is_edited {
            put("edited", json!({"user": self.user, "ts": self.ts}));
        }
        if let Some(metadata) = self.metadata.as_ref().filter(|_| with_metadata) {
            put("metadata", metadata.clone());
        }
        if !self.reactions.is_empty() {
            let reactions = self.reactions.iter().map(|name| json!({"name": name, "count": 1}));
            put("reactions", reactions.collect());
        }
        if let Some(thread_ts) = &self.thread_ts {
            put("thread_ts", json!(thread_ts));
        } else if let Some(latest) = replies.last() {
            put("thread_ts", json!(self.ts));
            put("reply_count", json!(replies.len()));
            put("latest_reply", json!(latest));
        }
        slack
    }
}

/// The time of a `ts` in Unix milliseconds; 0 for what is none.
pub(crate) fn parse_millis(ts: &str) -> i64 {
    ts.parse::<f64>().map_or(0, |seconds| (seconds * 1000.0) as i64)
}
