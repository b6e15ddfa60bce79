//! The message events among the inner events: author, thread and relevance.

use models::{EventOutcome, Relevance, UserId};

use crate::delivery::{IgnoreReason, unsupported};
use crate::inner_event::InnerEvent;

impl InnerEvent {
    /// Returns the author, or the reason to ignore the message: an edit, a deletion, a notice, or a bot's
    /// message.
    pub(crate) fn author(&self, bot_user_id: Option<&str>) -> Result<UserId, IgnoreReason> {
        let subtype = self.subtype.as_deref();
        let from_bot = |reason: &str| Err((EventOutcome::FromBot, reason.to_owned()));
        match &self.user {
            Some(user) if Some(user.id.as_str()) == bot_user_id => from_bot("the bot's own message"),
            _ if self.bot_id.is_some() || subtype == Some("bot_message") => from_bot("another bot's message"),
            _ if self.edited.is_some() => Err(unsupported("an edit")),
            _ if self.hidden => Err(unsupported(subtype.unwrap_or("hidden"))),
            Some(user)
                if matches!(subtype, None | Some("file_share" | "thread_broadcast" | "me_message")) =>
            {
                Ok(user.id.as_str().into())
            }
            _ => Err(unsupported(subtype.unwrap_or("a message without an author"))),
        }
    }

    /// Returns the message's relation to the bot.
    pub(crate) fn relevance(&self, bot_user_id: Option<&str>) -> Result<Relevance, IgnoreReason> {
        let text = self.text.as_deref().unwrap_or_default();
        let is_mentioned = bot_user_id
            .is_some_and(|bot| text.contains(&format!("<@{bot}>")) || text.contains(&format!("<@{bot}|")));
        let is_thread_starter = bot_user_id.is_some() && self.parent_user_id.as_deref() == bot_user_id;
        if self.kind == "app_mention" || self.is_dm() || is_mentioned || is_thread_starter {
            Ok(Relevance::Addressed)
        } else if self.parent_ts().is_some() {
            Ok(Relevance::ThreadReply)
        } else {
            Err((EventOutcome::NotForBot, "a channel message without a mention".into()))
        }
    }

    /// Returns the `ts` of the thread's first message, if this is a later one.
    pub(crate) fn parent_ts(&self) -> Option<&str> {
        self.thread_ts.as_deref().filter(|thread_ts| !thread_ts.is_empty())
    }

    pub(crate) fn is_dm(&self) -> bool {
        self.channel_type.as_deref() == Some("im")
    }

    /// Returns the author's own workspace. Streams require it, and do not accept an organisation's id.
    pub(crate) fn user_team_id(&self) -> Option<&str> {
        let ids =
            || [&self.user_team, &self.source_team, &self.team].into_iter().filter_map(Option::as_deref);
        ids().find(|id| id.starts_with('T')).or_else(|| ids().next())
    }
}
