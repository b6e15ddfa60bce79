//! The outcomes of events.

/// The outcome of an event. Every event gets one, and an admin can look it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventOutcome {
    /// The person got a reply.
    Answered,
    /// The installer got the welcome message.
    Welcomed,
    /// A task other than a reply is done.
    Done,
    /// The person may not use the bot here, and got a notice.
    Refused,
    /// The person stopped the reply.
    Stopped,
    /// An operator has suspended the workspace, and the person got a notice.
    Suspended,
    /// A newer event superseded it, so it changed nothing.
    Stale,
    /// The bot was uninstalled; the workspace's data is deleted or about to be.
    Uninstalled,
    /// It failed repeatedly and was dead-lettered, with the reason.
    DeadLettered,
    /// It was dead-lettered, and an operator discarded it.
    Discarded,
    /// Slack had already delivered it, under the same or another id.
    Duplicate,
    /// A message not addressed to the bot.
    NotForBot,
    /// A message that a bot wrote, perhaps this one.
    FromBot,
    /// An event or message type that EnableBot does not act on.
    Unsupported,
    /// The workspace has no installation, or no longer has one.
    NotInstalled,
}

impl EventOutcome {
    /// All outcomes, so that every counter exists at zero from the start.
    pub const ALL_OUTCOMES: [Self; 15] = [
        Self::Answered,
        Self::Welcomed,
        Self::Done,
        Self::Refused,
        Self::Stopped,
        Self::Suspended,
        Self::Stale,
        Self::Uninstalled,
        Self::DeadLettered,
        Self::Discarded,
        Self::Duplicate,
        Self::NotForBot,
        Self::FromBot,
        Self::Unsupported,
        Self::NotInstalled,
    ];

    /// Returns the name in the database and in the metric `enablebot_events_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Welcomed => "welcomed",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::Suspended => "suspended",
            Self::Stale => "stale",
            Self::Uninstalled => "uninstalled",
            Self::DeadLettered => "set_aside",
            Self::Discarded => "discarded",
            Self::Duplicate => "duplicate",
            Self::NotForBot => "not_addressed",
            Self::FromBot => "from_bot",
            Self::Unsupported => "unsupported",
            Self::NotInstalled => "not_installed",
        }
    }
}
