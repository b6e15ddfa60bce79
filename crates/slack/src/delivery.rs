//! The result of parsing a delivery from Slack.

use models::{EventId, EventOutcome, IgnoredEvent, InboundEvent, TenantId, ThreadKey, UserId};

/// The content of a verified delivery.
#[derive(Clone, Debug)]
pub enum ParsedDelivery {
    /// Slack verifies the URL; the response echoes the challenge.
    UrlVerification {
        /// The challenge.
        challenge: String,
    },
    /// An event to store and process.
    Event(Box<InboundEvent>),
    /// A request to stop a reply in progress. It is handled at once, ahead of stored events.
    Stop(Box<StopRequest>),
    /// A delivery that the bot does not act on.
    Ignored {
        /// The reason, as an outcome.
        outcome: EventOutcome,
        /// The record to store, if the delivery belongs to a tenant.
        event: Option<Box<IgnoredEvent>>,
    },
}

/// A person's request to stop a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRequest {
    /// The tenant of the thread.
    pub tenant_id: TenantId,
    /// The thread of the reply.
    pub thread: ThreadKey,
    /// The person who pressed Stop.
    pub user_id: UserId,
    /// The event of the click.
    pub event_id: EventId,
}

/// The outcome and the reason of an event that the bot does not act on.
pub(crate) type IgnoreReason = (EventOutcome, String);

pub(crate) fn unsupported(reason: impl Into<String>) -> IgnoreReason {
    (EventOutcome::Unsupported, reason.into())
}

/// Returns true if an id is short and printable, so that it fits into an index. Beyond that ids are opaque.
pub(crate) fn is_valid_id(text: &str) -> bool {
    text.len() <= 255 && !text.chars().any(char::is_control)
}
