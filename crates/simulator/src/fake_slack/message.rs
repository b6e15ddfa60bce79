//! A message and its wire format.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::SlackFile;
use super::team::APP_ID;

/// The current state of a message.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SlackMessage {
    /// Its id in the channel.
    pub ts: String,
    /// The subtype; `None` for a plain message.
    pub subtype: Option<String>,
    /// The thread's root; `None` for a root.
    pub thread_ts: Option<String>,
    /// The author; the bot user for the app's messages, empty for a `bot_message`.
    pub user: String,
    /// Set on messages of apps.
    pub bot_id: Option<String>,
    /// Set on messages of apps.
    pub app_id: Option<String>,
    /// The text as sent, with its escapes.
    pub text: String,
    /// True if `text` is Markdown (`markdown_text`, streams) and not mrkdwn.
    #[serde(rename = "markdown")]
    pub is_markdown: bool,
    /// Blocks. They appear below the text of a stream, and replace the text elsewhere.
    pub blocks: Option<Value>,
    /// True if `chat.startStream` started it.
    #[serde(rename = "streamed")]
    pub is_stream: bool,
    /// True if the stream still accepts text.
    #[serde(rename = "streaming")]
    pub is_streaming: bool,
    /// True if a person stopped it; the app must still end the stream.
    #[serde(rename = "stopped")]
    pub is_stopped: bool,
    /// True if it was edited.
    #[serde(rename = "edited")]
    pub is_edited: bool,
    /// `event_type` and `event_payload`, as posted.
    pub metadata: Option<Value>,
    /// Set on messages that a person's client sent.
    pub client_msg_id: Option<String>,
    /// Files shown with it.
    pub files: Vec<SlackFile>,
    /// Names of the reactions the app added.
    pub reactions: Vec<String>,
}

/// The content that a call sends.
#[derive(Default)]
pub(crate) struct MessageContent {
    pub(crate) text: String,
    pub(crate) is_markdown: bool,
    pub(crate) blocks: Option<Value>,
    pub(crate) metadata: Option<Value>,
}

impl SlackMessage {
    /// Returns the visible text: the Markdown of its blocks if any (then `text` is for notifications), else
    /// the text.
    pub fn visible_text(&self) -> String {
        let blocks = self.blocks.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let markdown: Vec<&str> = blocks
            .iter()
            .filter(|block| block["type"] == "markdown")
            .filter_map(|block| block["text"].as_str())
            .collect();
        if markdown.is_empty() { self.text.clone() } else { markdown.join("\n") }
    }

    /// Returns whether the simulated app wrote it.
    pub(crate) fn is_own(&self) -> bool {
        self.app_id.as_deref() == Some(APP_ID)
    }

    /// Returns the message in the format of events and methods. `replies` are those of a root.
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

/// Returns the time of a `ts` in Unix milliseconds; 0 for an invalid one.
pub(crate) fn parse_millis(ts: &str) -> i64 {
    ts.parse::<f64>().map_or(0, |seconds| (seconds * 1000.0) as i64)
}
