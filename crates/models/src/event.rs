//! An event as it is stored: the stored event is the job.

use serde::{Deserialize, Serialize};

use crate::{ChannelId, EventId, MessageTs, TeamId, TenantId, UserId};

/// A thread of a channel; its messages are answered in order, one at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadKey {
    /// The channel or DM.
    pub channel_id: ChannelId,
    /// The `ts` of the thread's first message.
    pub thread_ts: MessageTs,
}

/// Whether an event concerns the bot; decided before its message is claimed, so that a copy of no interest
/// never takes the place of the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relevance {
    /// A DM, a mention, or a thread that the bot itself began.
    Addressed,
    /// A message of a thread: it counts where the bot takes part, which the database knows.
    InThreadOfTheBot,
}

/// What is to be done; kept encrypted, since it holds what people wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventBody {
    /// Somebody wrote to the bot.
    Message {
        /// The message's text in Slack's own markup.
        text: String,
        /// The writer's own workspace, which Slack's streaming calls ask for.
        user_team_id: Option<TeamId>,
        /// Whether the channel is a DM with the bot.
        is_dm: bool,
    },
    /// The bot was installed; the installer gets a first message.
    Welcome,
}

impl EventBody {
    /// The name that stands unencrypted beside the body.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::Welcome => "welcome",
        }
    }
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
    /// Who wrote it.
    pub user_id: UserId,
    /// Whether it concerns the bot.
    pub relevance: Relevance,
    /// What is to be done.
    pub body: EventBody,
}
