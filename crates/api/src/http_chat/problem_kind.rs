//! The kinds of problems: one table of statuses, names and texts, from which the documentation is generated
//! too.

use axum::http::StatusCode;

/// A kind of problem; each has a status of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    BadRequest,
    NoKey,
    NotAllowed,
    NoConversation,
    Busy,
    Late,
    TooLarge,
    NotJson,
    OverLimit,
    ModelFailed,
    Unavailable,
    TooSlow,
}

impl ProblemKind {
    pub(super) const ALL: [Self; 12] = [
        Self::BadRequest,
        Self::NoKey,
        Self::NotAllowed,
        Self::NoConversation,
        Self::Busy,
        Self::Late,
        Self::TooLarge,
        Self::NotJson,
        Self::OverLimit,
        Self::ModelFailed,
        Self::Unavailable,
        Self::TooSlow,
    ];

    /// Returns its status, its name in `type`, and its title.
    pub(super) fn definition(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "Invalid request"),
            Self::NoKey => (StatusCode::UNAUTHORIZED, "no-key", "Missing or invalid API key"),
            Self::NotAllowed => (StatusCode::FORBIDDEN, "not-allowed", "Not allowed"),
            Self::NoConversation => (StatusCode::NOT_FOUND, "no-conversation", "Conversation not found"),
            Self::Busy => (StatusCode::CONFLICT, "busy", "Another answer is in progress"),
            Self::Late => (StatusCode::REQUEST_TIMEOUT, "late", "Request timeout"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Request too large"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "Not JSON"),
            Self::OverLimit => (StatusCode::TOO_MANY_REQUESTS, "over-limit", "Limit exceeded"),
            Self::ModelFailed => (StatusCode::BAD_GATEWAY, "model-failed", "The model failed"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable"),
            Self::TooSlow => (StatusCode::GATEWAY_TIMEOUT, "too-slow", "The model took too long"),
        }
    }

    /// Returns when it occurs and what to do then, for the documentation.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::BadRequest => {
                "The body is not valid JSON of this form, the message is empty or longer than 64 KiB, or \
                 `user_id` is unknown."
            }
            Self::NoKey => {
                "The key is missing, unknown or revoked. Admins of the workspace create keys in the \
                 dashboard."
            }
            Self::NotAllowed => {
                "The key lacks a scope, the person belongs to another organisation or is deactivated, or the bot is \
                 not active in the workspace: uninstalled, suspended, or its token is revoked."
            }
            Self::NoConversation => {
                "The conversation does not exist, or belongs to another person or key. Start a new one."
            }
            Self::Busy => {
                "The conversation's last message is still being answered. Wait for that answer, then try \
                 again."
            }
            Self::Late => "The body took longer than 20 seconds to arrive. Send it again, faster.",
            Self::TooLarge => "The body is larger than 512 KiB.",
            Self::NotJson => "`Content-Type` is not `application/json`.",
            Self::OverLimit => {
                "The workspace's rate limit or budget is used up, or too many invalid keys came from your \
                 address. Nothing was done. Try again after `Retry-After` seconds."
            }
            Self::ModelFailed => {
                "The model rejected the message, broke off, or cannot be reached. Try again, perhaps with \
                 another message."
            }
            Self::Unavailable => {
                "The model, Slack or this server cannot answer at the moment. Try again after `Retry-After` seconds."
            }
            Self::TooSlow => {
                "The model did not respond, or did not finish in time. Try again, or ask for a shorter \
                 answer."
            }
        }
    }
}
