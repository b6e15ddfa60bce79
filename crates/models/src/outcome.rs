//! How an event ended.

/// How an event ended; every one does, and an admin can look it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventOutcome {
    /// The person has their answer.
    Answered,
    /// The installer has their first message.
    Welcomed,
    /// What was to be done besides answering is done.
    Done,
    /// The person may not use the bot here, and was told so.
    Refused,
    /// The person stopped the answer.
    Stopped,
    /// An operator suspended the workspace, and the person was told so.
    Suspended,
    /// It was overtaken by something newer, and changes nothing.
    Stale,
    /// The bot was taken out of the workspace, and its data deleted or about to be.
    Uninstalled,
    /// It kept failing and was set aside, with the reason beside it.
    DeadLettered,
    /// It was set aside, and an operator gave it up for good.
    Discarded,
    /// Slack delivered it before, under the same or another id.
    Duplicate,
    /// A message that was not meant for the bot.
    NotForBot,
    /// A bot wrote it, this one included.
    FromBot,
    /// A kind of event or message that EnableBot does not act on.
    Unsupported,
    /// The workspace has no installation (any more).
    NotInstalled,
}

impl EventOutcome {
    /// Every outcome, so that each counter can stand at zero from the start.
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

    /// The name in the database and in the metric `enablebot_events_total`.
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
