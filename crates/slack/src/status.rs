//! "EnableBot is thinking…": set at once, and cleared in every case.
//! Source: <https://docs.slack.dev/ai/agent-sessions>

use models::{ChannelId, MessageTs};
use secrecy::SecretString;
use serde_json::json;

use crate::{Client, Failure, SlackError};

/// What people see of the work on their message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// An answer is on its way.
    Processing,
    /// Nothing is in work.
    Active,
}

impl Client {
    /// Sets a thread's status: by `agents.sessions.setStatus`, and where the app or workspace has no agent sessions by
    /// the older `assistant.threads.setStatus`.
    pub async fn set_status(
        &self,
        token: &SecretString,
        channel_id: &ChannelId,
        thread_ts: &MessageTs,
        status: Status,
    ) -> Result<(), SlackError> {
        let (session_status, words) = match status {
            Status::Processing => ("processing", "is thinking…"),
            Status::Active => ("active", ""),
        };
        let arguments = json!({ "channel_id": channel_id, "thread_ts": thread_ts, "status": session_status });
        match self.call("agents.sessions.setStatus", token, &arguments).await {
            Err(error) if lacks_sessions(&error) => {
                let arguments = json!({ "channel_id": channel_id, "thread_ts": thread_ts, "status": words });
                self.call("assistant.threads.setStatus", token, &arguments).await.map(|_| ())
            }
            result => result.map(|_| ()),
        }
    }
}

/// Refused for what the app is, not for what was asked: another method may do.
fn lacks_sessions(error: &SlackError) -> bool {
    matches!(
        error.code(),
        Some("feature_disabled" | "session_not_found" | "unknown_method" | "not_authorized")
    ) || (error.code().is_some() && error.failure() == Failure::Setup)
}
