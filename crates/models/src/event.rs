//! An event as it is stored: the stored event is the job.

use serde::{Deserialize, Serialize};

use crate::{ChannelId, EventId, EventPayload, MessageTs, TenantId, UserId};

/// A thread of a channel; its messages are answered in order, one at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ThreadKey {
    /// The channel or DM.
    pub channel_id: ChannelId,
    /// The `ts` of the thread's first message.
    pub thread_ts: MessageTs,
}

impl ThreadKey {
    /// Where no message is behind an event: what concerns one person happens in order.
    pub fn for_user(user_id: &UserId) -> Self {
        Self { channel_id: user_id.as_str().into(), thread_ts: "".into() }
    }

    /// Where no person is behind it either.
    pub fn for_tenant(tenant_id: &TenantId) -> Self {
        Self { channel_id: tenant_id.as_str().into(), thread_ts: "".into() }
    }
}

/// Whether an event concerns the bot; decided before its message is claimed, so that a copy of no interest
/// never takes the place of the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relevance {
    /// A DM, a mention, or a thread that the bot itself began.
    Addressed,
    /// A message of a thread: it counts where the bot takes part, which the database knows.
    ThreadReply,
}

/// An event that is to be stored and answered.
#[derive(Clone, Debug)]
pub struct InboundEvent {
    /// Whose event it is.
    pub tenant_id: TenantId,
    /// Slack's id of the event: the first key against doing it twice.
    pub event_id: EventId,
    /// Where the answer goes.
    pub thread: ThreadKey,
    /// The message's own `ts`: with the channel, the second key. `None` where no message is behind the event.
    pub message_ts: Option<MessageTs>,
    /// The sending client's id of the message: the third key.
    pub client_msg_id: Option<String>,
    /// Who wrote it; empty where Slack itself is the author.
    pub user_id: UserId,
    /// Whether it concerns the bot.
    pub relevance: Relevance,
    /// What is to be done.
    pub payload: EventPayload,
    /// Where it stands in its trace, if there is one: W3C's `traceparent`.
    pub traceparent: Option<String>,
}

impl InboundEvent {
    /// An event without a message, in the order of its person, or of its tenant where it has none.
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

/// An event of a tenant that nothing is done about, kept for a while so that "why no reply?" has an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredEvent {
    /// Whose event it is.
    pub tenant_id: TenantId,
    /// Slack's id of the event.
    pub event_id: EventId,
    /// Where it happened, if anywhere.
    pub channel_id: Option<ChannelId>,
    /// The message's `ts`, if there is a message.
    pub message_ts: Option<MessageTs>,
    /// Who did it, if anybody.
    pub user_id: Option<UserId>,
    /// What became of it.
    pub outcome: crate::EventOutcome,
    /// Why, in Slack's own word where there is one.
    pub reason: String,
}
