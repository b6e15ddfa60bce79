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
    /// It was not made, because the work had been let go; see [`crate::Hold`].
    #[error("{method}: not sent, the work is another's")]
    NotSent {
        /// The method.
        method: &'static str,
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
    /// The token's time is over: refresh it, then call again.
    Expired,
    /// The token is dead: only a new install helps.
    DeadToken,
    /// A person pressed Slack's stop button: the work is to end.
    Stopped,
    /// The app or the workspace is set up wrongly for this call; an admin can mend it.
    Setup,
    /// The channel, thread or message is gone, or closed to the bot.
    PlaceGone,
    /// Slack does not take this content, or not in this form.
    Content,
}

impl SlackError {
    pub(crate) fn refused(method: &'static str, code: &str) -> Self {
        Self::Refused { method, code: code.to_owned(), needed: None }
    }

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
            Self::Unanswered { .. } | Self::NotSent { .. } => return Failure::Transient,
            Self::Refused { code, .. } => code.as_str(),
        };
        match code {
            "service_unavailable"
            | "internal_error"
            | "fatal_error"
            | "request_timeout"
            | "team_added_to_org"
            // The message still streams; it has ended soon, or is stopped by whoever tries again.
            | "streaming_state_conflict"
            | "org_login_required" => Failure::Transient,
            "token_expired" => Failure::Expired,
            "invalid_auth" | "account_inactive" | "token_revoked" | "not_authed" | "invalid_refresh_token" => {
                Failure::DeadToken
            }
            "stopped_by_user" => Failure::Stopped,
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
            | "invalid_client_id" => Failure::Setup,
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
            | "user_disabled" => Failure::PlaceGone,
            code if code.starts_with("restricted_action") => Failure::PlaceGone,
            _ => Failure::Content,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_says_what_to_do() {
        let cases = [
            ("internal_error", Failure::Transient),
            ("streaming_state_conflict", Failure::Transient),
            ("org_login_required", Failure::Transient),
            ("token_expired", Failure::Expired),
            ("token_revoked", Failure::DeadToken),
            ("stopped_by_user", Failure::Stopped),
            ("missing_scope", Failure::Setup),
            ("team_access_not_granted", Failure::Setup),
            ("restricted_action_read_only_channel", Failure::PlaceGone),
            ("thread_not_found", Failure::PlaceGone),
            ("msg_too_long", Failure::Content),
            ("something_new", Failure::Content),
        ];
        for (code, failure) in cases {
            let error = SlackError::Refused { method: "chat.update", code: code.into(), needed: None };
            assert_eq!(error.failure(), failure, "{code}");
        }
        let wait = Duration::from_secs(7);
        let limited = SlackError::RateLimited { method: "chat.update", retry_after: wait };
        assert_eq!(limited.failure(), Failure::Throttled(wait));
    }
}
