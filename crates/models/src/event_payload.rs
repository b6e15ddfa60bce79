//! What is to be done about an event.

use serde::{Deserialize, Serialize};

use crate::{ChannelId, EventId, FileRef, MessageTs, TeamId, UserId};

/// What is to be done; kept encrypted, since it holds what people wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventPayload {
    /// Somebody wrote to the bot.
    Message(InboundMessage),
    /// The bot was installed; the installer gets a first message.
    Welcome,
    /// The app was taken out of the workspace.
    Uninstalled {
        /// When, in Unix seconds.
        event_time: i64,
    },
    /// Tokens were revoked; Slack names their users, not the tokens.
    TokensRevoked {
        /// When, in Unix seconds.
        event_time: i64,
        /// The bot users whose tokens are gone.
        bot_user_ids: Vec<UserId>,
    },
    /// An org-wide install was let into workspaces, or taken out of them.
    TeamAccess {
        /// Let in, or taken out.
        #[serde(rename = "granted")]
        is_granted: bool,
        /// Which workspaces.
        team_ids: Vec<TeamId>,
    },
    /// Somebody opened the conversation with the bot.
    ConversationOpened {
        /// The workspace, in an org-wide install.
        team_id: Option<TeamId>,
        /// The DM.
        channel_id: ChannelId,
        /// The thread, where Slack opens one by itself (the older assistant view).
        thread_ts: Option<MessageTs>,
    },
    /// Somebody opened the bot's Home tab.
    HomeOpened {
        /// The workspace, in an org-wide install.
        team_id: Option<TeamId>,
    },
    /// Somebody looks at another channel while the conversation with the bot is open.
    ContextChanged {
        /// The channel; `None` for none.
        channel_id: Option<ChannelId>,
    },
    /// Somebody joined the workspace.
    TeamJoined {
        /// The workspace, in an org-wide install.
        team_id: Option<TeamId>,
    },
    /// Somebody judged an answer.
    Feedback {
        /// The event that was answered.
        event_id: EventId,
        /// Thumbs up, or down.
        #[serde(rename = "positive")]
        is_positive: bool,
    },
    /// Somebody asks for another try of what failed.
    TryAgain {
        /// The event that was set aside.
        event_id: EventId,
    },
    /// A slash command.
    Command {
        /// What stands behind the command's name.
        text: String,
        /// Where it was typed.
        channel_id: ChannelId,
        /// The workspace, in an org-wide install.
        team_id: Option<TeamId>,
        /// Where the answer goes: whoever has this address can post, so it is a secret.
        response_url: String,
    },
}

/// What somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundMessage {
    /// The text in Slack's own markup.
    pub text: String,
    /// The writer's own workspace (or organisation), which Slack's streaming calls ask for.
    pub user_team_id: Option<TeamId>,
    /// The workspace it was written in, which an org-wide install needs to know.
    #[serde(default)]
    pub team_id: Option<TeamId>,
    /// Whether the channel is a DM with the bot.
    pub is_dm: bool,
    /// Whether people of other organisations are in the channel (Slack Connect).
    #[serde(default)]
    pub is_ext_shared: bool,
    /// What came with it.
    #[serde(default)]
    pub files: Vec<FileRef>,
}

impl EventPayload {
    /// The name that stands unencrypted beside the body.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Welcome => "welcome",
            Self::Uninstalled { .. } => "uninstalled",
            Self::TokensRevoked { .. } => "tokens_revoked",
            Self::TeamAccess { .. } => "team_access",
            Self::ConversationOpened { .. } => "conversation_opened",
            Self::HomeOpened { .. } => "home_opened",
            Self::ContextChanged { .. } => "context_changed",
            Self::TeamJoined { .. } => "team_joined",
            Self::Feedback { .. } => "feedback",
            Self::TryAgain { .. } => "try_again",
            Self::Command { .. } => "command",
        }
    }

    /// The workspace it is about, in an org-wide install.
    pub fn team_id(&self) -> Option<&TeamId> {
        match self {
            Self::Message(message) => message.team_id.as_ref(),
            Self::ConversationOpened { team_id, .. }
            | Self::HomeOpened { team_id }
            | Self::TeamJoined { team_id }
            | Self::Command { team_id, .. } => team_id.as_ref(),
            _ => None,
        }
    }
}
