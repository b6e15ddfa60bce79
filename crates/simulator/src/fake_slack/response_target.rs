//! The destination of a response to a click or a command, and the issued `response_url` for it.

use std::time::Instant;

/// The person, channel and thread that a response belongs to.
#[derive(Clone)]
pub(crate) struct ResponseTarget {
    pub(crate) team: String,
    pub(super) channel: String,
    pub(super) user: String,
    /// The clicked message, or the message posted as a response.
    pub(super) original: Option<String>,
}

/// An issued `response_url`.
pub(crate) struct ResponseUrl {
    pub(super) target: ResponseTarget,
    pub(super) use_count: u8,
    pub(super) issued_at: Instant,
}

/// The display mode of a response.
pub(crate) enum ResponseMode {
    /// Only to the person who clicked or typed.
    Ephemeral,
    /// To everyone in the channel.
    InChannel,
    /// In place of the original message.
    ReplaceOriginal,
}

impl ResponseTarget {
    pub(crate) fn new(team: &str, channel: &str, user: &str, original: Option<&str>) -> Self {
        let (team, channel, user) = (team.to_owned(), channel.to_owned(), user.to_owned());
        Self { team, channel, user, original: original.map(str::to_owned) }
    }
}
