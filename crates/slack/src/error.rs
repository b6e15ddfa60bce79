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
    Api {
        /// The method.
        method: &'static str,
        /// Slack's `error`.
        code: String,
        /// The scope that is missing, with `missing_scope`.
        needed: Option<String>,
    },
    /// It was not made, because the work had been let go; see [`crate::SendGuard`].
    #[error("{method}: not sent, the work is another's")]
    LeaseLost {
        /// The method.
        method: &'static str,
    },
    /// No answer, or none that can be read: whether it took effect is unknown.
    #[error("{method}: no usable answer ({reason})")]
    Transport {
        /// The method.
        method: &'static str,
        /// What happened instead.
        reason: String,
    },
}

/// What to do about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlackErrorKind {
    /// Wait so long, then call again.
    RateLimited(Duration),
    /// Slack is in trouble; a post may have been made all the same.
    Transient,
    /// The token's time is over: refresh it, then call again.
    TokenExpired,
    /// The token is dead: only a new install helps.
    TokenRevoked,
    /// A person pressed Slack's stop button: the work is to end.
    StoppedByUser,
    /// The app or the workspace is set up wrongly for this call; an admin can mend it.
    AppMisconfigured,
    /// The channel, thread or message is gone, or closed to the bot.
    ChannelUnavailable,
    /// Slack does not take this content, or not in this form.
    InvalidContent,
}

impl SlackError {
    pub(crate) fn api(method: &'static str, code: &str) -> Self {
        Self::Api { method, code: code.to_owned(), needed: None }
    }

    /// Slack's `error`, where it answered with one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Api { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Sorts the error into what is to be done. An unknown code counts as content: trying again would not change it.
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
            // The message still streams; it has ended soon, or is stopped by whoever tries again.
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
        for (code, failure) in cases {
            let error = SlackError::Api { method: "chat.update", code: code.into(), needed: None };
            assert_eq!(error.kind(), failure, "{code}");
        }
        let wait = Duration::from_secs(7);
        let limited = SlackError::RateLimited { method: "chat.update", retry_after: wait };
        assert_eq!(limited.kind(), SlackErrorKind::RateLimited(wait));
    }
}
