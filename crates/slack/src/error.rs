//! What Slack's refusals mean. Source: <https://docs.slack.dev/apis/web-api/> and each method's list of errors.

use std::time::Duration;

/// A call that did not succeed. Holds Slack's word for it, never a token or a text.
#[derive(Debug, thiserror::Error)]
pub enum SlackError {
    /// HTTP 429, or the same said in the body.
    #[error("{method}: rate limited for {} s", retry_after.as_secs())]
    RateLimited {
        /// The method that is held back, for this workspace.
        method: &'static str,
        /// How long.
        retry_after: Duration,
    },
    /// Slack answered `ok: false`.
    #[error("{method}: {code}{}", needed.as_ref().map(|scope| format!(" (needs {scope})")).unwrap_or_default())]
    Refused {
        /// The method.
        method: &'static str,
        /// Slack's `error`.
        code: String,
        /// The scope that is missing, with `missing_scope`.
        needed: Option<String>,
    },
    /// No answer, or none that can be read: whether it took effect is unknown.
    #[error("{method}: no usable answer ({reason})")]
    Unanswered {
        /// The method.
        method: &'static str,
        /// What happened instead.
        reason: String,
    },
}

/// What to do about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Wait so long, then call again.
    Throttled(Duration),
    /// Slack is in trouble; a post may have been made all the same.
    Transient,
    /// The token is dead: only a new install helps.
    DeadToken,
    /// The app or the workspace is set up wrongly for this call; an admin can mend it.
    Setup,
    /// The channel, thread or message is gone, or closed to the bot.
    PlaceGone,
    /// Slack does not take this content, or not in this form.
    Content,
}

impl SlackError {
    /// Slack's `error`, where it answered with one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Sorts the error into what is to be done. An unknown code counts as content: trying again would not change it.
    pub fn failure(&self) -> Failure {
        let code = match self {
            Self::RateLimited { retry_after, .. } => return Failure::Throttled(*retry_after),
            Self::Unanswered { .. } => return Failure::Transient,
            Self::Refused { code, .. } => code.as_str(),
        };
        match code {
            "service_unavailable"
            | "internal_error"
            | "fatal_error"
            | "request_timeout"
            | "org_login_required" => Failure::Transient,
            "invalid_auth" | "account_inactive" | "token_revoked" | "token_expired" | "not_authed" => {
                Failure::DeadToken
            }
            "missing_scope"
            | "not_allowed_token_type"
            | "messages_tab_disabled"
            | "not_agent_app"
            | "team_access_not_granted"
            | "ekm_access_denied"
            | "accesslimited" => Failure::Setup,
            "channel_not_found"
            | "is_archived"
            | "not_in_channel"
            | "thread_not_found"
            | "message_not_found"
            | "cannot_reply_to_message"
            | "user_not_found" => Failure::PlaceGone,
            code if code.starts_with("restricted_action") => Failure::PlaceGone,
            _ => Failure::Content,
        }
    }
}
