//! The status ("EnableBot is thinking…"), title and suggested prompts of a thread.
//! Source: <https://docs.slack.dev/ai/agent-sessions>

use models::{ChannelId, MessageTs};
use serde_json::{Value, json};

use crate::{BotAuth, Client, SlackError};

/// The longest title, in characters.
///
/// Source: <https://docs.slack.dev/reference/methods/agents.sessions.rename>
const MAX_TITLE_CHARS: usize = 200;

/// The most prompts that Slack shows.
///
/// Source: <https://docs.slack.dev/reference/methods/assistant.threads.setSuggestedPrompts>
const MAX_SUGGESTED_PROMPTS: usize = 4;

/// The status that people see in a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadStatus {
    /// The bot is working on a reply.
    Processing,
    /// The bot is idle.
    Active,
}

impl Client {
    /// Sets a thread's status, with the agent API that the tenant has.
    pub async fn set_status(
        &self,
        bot: &BotAuth,
        channel_id: &ChannelId,
        thread_ts: &MessageTs,
        status: ThreadStatus,
    ) -> Result<(), SlackError> {
        let (session_status, thread_status) = match status {
            ThreadStatus::Processing => ("processing", "is thinking…"),
            ThreadStatus::Active => ("active", ""),
        };
        let arguments =
            |status| json!({ "channel_id": channel_id, "thread_ts": thread_ts, "status": status });
        let sessions = ("agents.sessions.setStatus", arguments(session_status));
        self.call_agent_api(bot, sessions, ("assistant.threads.setStatus", arguments(thread_status))).await
    }

    /// Sets a thread's title, cut off after 200 characters. An empty title changes nothing.
    pub async fn set_title(
        &self,
        bot: &BotAuth,
        channel_id: &ChannelId,
        thread_ts: &MessageTs,
        title: &str,
    ) -> Result<(), SlackError> {
        let title: String = title.trim().chars().take(MAX_TITLE_CHARS).collect();
        if title.is_empty() {
            return Ok(());
        }
        let arguments = json!({ "channel_id": channel_id, "thread_ts": thread_ts, "title": title });
        let sessions = ("agents.sessions.rename", arguments.clone());
        self.call_agent_api(bot, sessions, ("assistant.threads.setTitle", arguments)).await
    }

    /// `assistant.threads.setSuggestedPrompts`: sets suggested prompts, each as title and message. Slack
    /// shows four.
    pub async fn set_suggested_prompts(
        &self,
        bot: &BotAuth,
        channel_id: &ChannelId,
        thread_ts: Option<&MessageTs>,
        prompts: &[(&str, &str)],
    ) -> Result<(), SlackError> {
        let prompts: Vec<Value> = prompts
            .iter()
            .take(MAX_SUGGESTED_PROMPTS)
            .map(|(title, message)| json!({ "title": title, "message": message }))
            .collect();
        let mut arguments = json!({ "channel_id": channel_id, "prompts": prompts });
        if let Some(thread_ts) = thread_ts {
            arguments["thread_ts"] = json!(thread_ts);
        }
        self.call("assistant.threads.setSuggestedPrompts", bot, arguments).await.map(drop)
    }
}
