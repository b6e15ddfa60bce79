//! Errors of calls to Slack. Source: <https://docs.slack.dev/apis/web-api/> and each method's list of errors.

use std::time::Duration;

use reqwest::StatusCode;

/// A failed call. It contains Slack's error code, never a token or a text.
#[derive(Debug, thiserror::Error)]
pub enum SlackError {
    /// HTTP 429, or the same error in the body.
    #[error("{method}: rate limited for {} s", retry_after.as_secs())]
    RateLimited {
        /// The method, which is limited for this workspace only.
        method: &'static str,
        /// The time to wait.
        retry_after: Duration,
    },
    /// Slack answered `ok: false`.
    #[error("{method}: {code}{}", needed.as_ref().map(|scope| format!(" (needs {scope})")).unwrap_or_default())]
    Api {
        /// The method that was called.
        method: &'static str,
        /// Slack's `error`.
        code: String,
        /// The missing scope, with `missing_scope`.
        needed: Option<String>,
    },
    /// The call was not sent, because the job's lease was lost; see [`crate::SendGuard`].
    #[error("{method}: not sent, lease lost")]
    LeaseLost {
        /// The method that was called.
        method: &'static str,
    },
    /// No response, or an unreadable one. The call may have taken effect.
    #[error("{method}: no usable response ({reason})")]
    Transport {
        /// The method that was called.
        method: &'static str,
        /// The cause.
        reason: String,
    },
}

/// The kind of a failed call, by the right reaction to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlackErrorKind {
    /// Wait for this time, then call again.
    RateLimited(Duration),
    /// Slack has a temporary problem; a post may have been made nevertheless.
    Transient,
    /// The token expired: refresh it, then call again.
    TokenExpired,
    /// The token was revoked: only a new install helps.
    TokenRevoked,
    /// A person pressed Slack's stop button: end the reply.
    StoppedByUser,
    /// The app or the workspace is not set up for this call; an admin can fix it.
    AppMisconfigured,
    /// The channel, thread or message does not exist any more, or the bot has no access.
    ChannelUnavailable,
    /// Slack rejects this content, or its format.
    InvalidContent,
}

impl SlackError {
    pub(crate) fn api(method: &'static str, code: &str) -> Self {
        Self::Api { method, code: code.to_owned(), needed: None }
    }

    pub(crate) fn transport(method: &'static str, reason: impl Into<String>) -> Self {
        Self::Transport { method, reason: reason.into() }
    }

    pub(crate) fn unexpected_status(method: &'static str, status: StatusCode) -> Self {
        Self::transport(method, format!("HTTP {}", status.as_u16()))
    }

    /// Returns Slack's `error`, if it responded with one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Api { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Returns whether Slack answered, and the answer is no: the same call would be refused again.
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self.kind(),
            SlackErrorKind::RateLimited(_) | SlackErrorKind::Transient | SlackErrorKind::TokenExpired
        )
    }

    /// Returns whether Slack does not know the user, or does not show them to the app.
    pub fn is_unknown_user(&self) -> bool {
        matches!(self.code(), Some("user_not_found" | "user_not_visible" | "user_disabled"))
    }

    /// Returns the kind of the error. An unknown code counts as invalid content, since a retry would not
    /// help.
    pub fn kind(&self) -> SlackErrorKind {
        let code = match self {
            Self::RateLimited { retry_after, .. } => return SlackErrorKind::RateLimited(*retry_after),
            Self::Transport { .. } | Self::LeaseLost { .. } => return SlackErrorKind::Transient,
            Self::Api { code, .. } => code.as_str(),
        };
        match code {
            "service_unavailable"
            | "internal_error"
            | "fatal_error"
            | "request_timeout"
            | "team_added_to_org"
            // The message is still streaming. It ends soon, or the next attempt stops it.
            | "streaming_state_conflict"
            | "org_login_required" => SlackErrorKind::Transient,
            "token_expired" => SlackErrorKind::TokenExpired,
            "invalid_auth" | "account_inactive" | "token_revoked" | "not_authed" | "invalid_refresh_token" => {
                SlackErrorKind::TokenRevoked
            }
            "stopped_by_user" => SlackErrorKind::StoppedByUser,
            "missing_scope"
            | "not_allowed_token_type"
            | "no_permission"
            | "messages_tab_disabled"
            | "not_agent_app"
            | "not_enabled"
            | "feature_disabled"
            | "access_denied"
            | "team_access_not_granted"
            | "ekm_access_denied"
            | "accesslimited"
            | "bad_client_secret"
            | "invalid_client_id" => SlackErrorKind::AppMisconfigured,
            "channel_not_found"
            | "is_archived"
            | "is_inactive"
            | "not_in_channel"
            | "user_not_in_channel"
            | "thread_not_found"
            | "message_not_found"
            | "cannot_reply_to_message"
            | "edit_window_closed"
            | "file_not_found"
            | "file_deleted"
            | "user_not_found"
            | "user_not_visible"
            | "user_disabled" => SlackErrorKind::ChannelUnavailable,
            code if code.starts_with("restricted_action") => SlackErrorKind::ChannelUnavailable,
            _ => SlackErrorKind::InvalidContent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_map_to_kinds() {
        let cases = [
            ("internal_error", SlackErrorKind::Transient),
            ("streaming_state_conflict", SlackErrorKind::Transient),
            ("org_login_required", SlackErrorKind::Transient),
            ("token_expired", SlackErrorKind::TokenExpired),
            ("token_revoked", SlackErrorKind::TokenRevoked),
            ("stopped_by_user", SlackErrorKind::StoppedByUser),
            ("missing_scope", SlackErrorKind::AppMisconfigured),
            ("team_access_not_granted", SlackErrorKind::AppMisconfigured),
            ("restricted_action_read_only_channel", SlackErrorKind::ChannelUnavailable),
            ("thread_not_found", SlackErrorKind::ChannelUnavailable),
            ("msg_too_long", SlackErrorKind::InvalidContent),
            ("something_new", SlackErrorKind::InvalidContent),
        ];
        for (code, kind) in cases {
            let error = SlackError::Api { method: "chat.update", code: code.into(), needed: None };
            assert_eq!(error.kind(), kind, "{code}");
            let is_temporary = matches!(kind, SlackErrorKind::Transient | SlackErrorKind::TokenExpired);
            assert_eq!(error.is_refusal(), !is_temporary, "{code}");
        }
        let wait = Duration::from_secs(7);
        let limited = SlackError::RateLimited { method: "chat.update", retry_after: wait };
        assert_eq!(limited.kind(), SlackErrorKind::RateLimited(wait));
    }
}
