//! Events as they are stored; a stored event is a job.

use serde::{Deserialize, Serialize};

use crate::{ChannelId, EventId, EventPayload, MessageTs, TenantId, UserId};

/// A thread of a channel. Its messages are answered in order, one at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ThreadKey {
    /// The channel or DM.
    pub channel_id: ChannelId,
    /// The `ts` of the thread's first message.
    pub thread_ts: MessageTs,
}

impl ThreadKey {
    /// Returns the key for events of a person that have no message, so that they run in order.
    pub fn for_user(user_id: &UserId) -> Self {
        Self { channel_id: user_id.as_str().into(), thread_ts: "".into() }
    }

    /// Returns the key for events of a tenant that have neither a message nor a person.
    pub fn for_tenant(tenant_id: &TenantId) -> Self {
        Self { channel_id: tenant_id.as_str().into(), thread_ts: "".into() }
    }
}

/// The relation of an event to the bot. It is known before the message is deduplicated, so that an irrelevant
/// copy of a message never replaces the relevant one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relevance {
    /// A DM, a mention, or a message in a thread that the bot started.
    Addressed,
    /// A message in a thread. It is relevant only if the bot takes part there, which the database knows.
    ThreadReply,
}

/// An event to store and process.
#[derive(Clone, Debug)]
pub struct InboundEvent {
    /// The tenant that the event belongs to.
    pub tenant_id: TenantId,
    /// Slack's id of the event: the first deduplication key.
    pub event_id: EventId,
    /// The thread that the reply goes to.
    pub thread: ThreadKey,
    /// The message's `ts`: with the channel, the second deduplication key. `None` if the event has no
    /// message.
    pub message_ts: Option<MessageTs>,
    /// The message id that the sending client chose: the third deduplication key.
    pub client_msg_id: Option<String>,
    /// The author; empty if Slack itself is the author.
    pub user_id: UserId,
    /// The event's relation to the bot.
    pub relevance: Relevance,
    /// The task that the event carries.
    pub payload: EventPayload,
    /// The position in its trace, if there is one: W3C's `traceparent`.
    pub traceparent: Option<String>,
}

impl InboundEvent {
    /// Creates an event without a message. It runs in the order of its person's events, or of the tenant's if
    /// it has no person.
    pub fn system_event(
        tenant_id: TenantId,
        event_id: EventId,
        user_id: Option<UserId>,
        payload: EventPayload,
    ) -> Self {
        let thread = user_id.as_ref().map_or_else(|| ThreadKey::for_tenant(&tenant_id), ThreadKey::for_user);
        Self {
            tenant_id,
            event_id,
            thread,
            message_ts: None,
            client_msg_id: None,
            user_id: user_id.unwrap_or_else(|| "".into()),
            relevance: Relevance::Addressed,
            payload,
            traceparent: None,
        }
    }
}

/// An event that the bot does not act on. It is kept for a while so that an admin can see why there was no
/// reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredEvent {
    /// The tenant that the event belongs to.
    pub tenant_id: TenantId,
    /// Slack's id of the event.
    pub event_id: EventId,
    /// The channel, if there is one.
    pub channel_id: Option<ChannelId>,
    /// The message's `ts`, if there is a message.
    pub message_ts: Option<MessageTs>,
    /// The person who caused it, if there is one.
    pub user_id: Option<UserId>,
    /// The outcome.
    pub outcome: crate::EventOutcome,
    /// The reason, in Slack's own term if there is one.
    pub reason: String,
}
