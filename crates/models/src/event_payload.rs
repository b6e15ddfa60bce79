//! The payloads of events.

use serde::{Deserialize, Serialize};

use crate::{ChannelId, EventId, FileRef, MessageTs, TeamId, UserId};

/// The task that an event carries. It is stored encrypted, since it contains what people wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventPayload {
    /// A person wrote to the bot.
    Message(InboundMessage),
    /// The bot was installed; the installer gets a welcome message.
    Welcome,
    /// Somebody exported what people wrote; a manager is told so.
    ExportNotice {
        /// The person who exported it.
        exported_by: UserId,
        /// The person whose data it is; `None` for the whole workspace.
        person: Option<UserId>,
    },
    /// The app was removed from the workspace.
    Uninstalled {
        /// The time of the event, in Unix seconds.
        event_time: i64,
    },
    /// Tokens were revoked. Slack names the tokens' users, not the tokens.
    TokensRevoked {
        /// The time of the event, in Unix seconds.
        event_time: i64,
        /// The bot users whose tokens were revoked.
        bot_user_ids: Vec<UserId>,
    },
    /// An org-wide install was given access to workspaces, or lost it.
    TeamAccess {
        /// True if access was granted, false if it was revoked.
        #[serde(rename = "granted")]
        is_granted: bool,
        /// The workspaces.
        team_ids: Vec<TeamId>,
    },
    /// A person opened the conversation with the bot.
    ConversationOpened {
        /// The workspace, in an org-wide install.
        team_id: Option<TeamId>,
        /// The DM.
        channel_id: ChannelId,
        /// The thread, if Slack opened one by itself (the older assistant view).
        thread_ts: Option<MessageTs>,
    },
    /// A person opened the bot's Home tab.
    HomeOpened {
        /// The workspace, in an org-wide install.
        team_id: Option<TeamId>,
    },
    /// A person switched to another channel while the conversation with the bot is open.
    ContextChanged {
        /// The channel; `None` for none.
        channel_id: Option<ChannelId>,
    },
    /// A person joined the workspace.
    TeamJoined {
        /// The workspace, in an org-wide install.
        team_id: Option<TeamId>,
    },
    /// A person rated a reply.
    Feedback {
        /// The event that the rated reply answers.
        event_id: EventId,
        /// True for thumbs up, false for thumbs down.
        #[serde(rename = "positive")]
        is_positive: bool,
    },
    /// A person asked to retry a failed event.
    TryAgain {
        /// The event that failed.
        event_id: EventId,
    },
    /// A slash command.
    Command {
        /// The text after the command's name.
        text: String,
        /// The channel that the command was typed in.
        channel_id: ChannelId,
        /// The workspace, in an org-wide install.
        team_id: Option<TeamId>,
        /// The URL that the response is posted to. It is a secret: anyone who has it can post.
        response_url: String,
    },
}

/// A message that a person wrote to the bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundMessage {
    /// The text in Slack's own markup.
    pub text: String,
    /// The author's own workspace (or organisation), which Slack's streaming methods require.
    pub user_team_id: Option<TeamId>,
    /// The workspace it was written in; an org-wide install needs it.
    #[serde(default)]
    pub team_id: Option<TeamId>,
    /// True if the channel is a DM with the bot.
    pub is_dm: bool,
    /// True if the channel is shared with other organisations (Slack Connect).
    #[serde(default)]
    pub is_ext_shared: bool,
    /// The attached files.
    #[serde(default)]
    pub files: Vec<FileRef>,
}

impl EventPayload {
    /// Returns the payload's kind, which is stored unencrypted beside it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Welcome => "welcome",
            Self::ExportNotice { .. } => "export_notice",
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

    /// Returns the workspace of the event, in an org-wide install.
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
