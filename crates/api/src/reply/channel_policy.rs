//! The workspace's rules for channels.

use models::{ChannelId, InboundMessage, UserId, WorkspaceSettings};

/// The decision on a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ChannelDecision {
    Allowed,
    /// Follow-ups without a mention are switched off.
    NeedsMention,
    /// The channel is not in the workspace's list.
    Denied,
}

/// Decides whether the workspace wants a reply in this channel. Direct messages are always answered.
pub(super) fn check_channel(
    settings: &WorkspaceSettings,
    bot_user_id: &UserId,
    channel_id: &ChannelId,
    message: &InboundMessage,
) -> ChannelDecision {
    if message.is_dm {
        return ChannelDecision::Allowed;
    }
    let is_mentioned = message.text.contains(&format!("<@{bot_user_id}"));
    if !settings.has_follow_ups && !is_mentioned {
        return ChannelDecision::NeedsMention;
    }
    match settings.is_channel_allowed(channel_id) {
        true => ChannelDecision::Allowed,
        false => ChannelDecision::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(settings: &WorkspaceSettings, text: &str, is_dm: bool) -> ChannelDecision {
        let (user_team_id, team_id) = (None, None);
        let message = InboundMessage {
            text: text.into(),
            user_team_id,
            team_id,
            is_dm,
            is_ext_shared: false,
            files: Vec::new(),
        };
        check_channel(settings, &"U0BOT".into(), &"C0RANDOM".into(), &message)
    }

    #[test]
    fn channel_rules_do_not_apply_to_dms() {
        let channels = vec!["C0OTHER".into()];
        let strict = WorkspaceSettings { channels, has_follow_ups: false, ..WorkspaceSettings::default() };
        assert_eq!(decide(&strict, "hi", true), ChannelDecision::Allowed);
        assert_eq!(decide(&strict, "hi", false), ChannelDecision::NeedsMention);
        assert_eq!(decide(&strict, "<@U0BOT> hi", false), ChannelDecision::Denied);
        let open = WorkspaceSettings { channels: Vec::new(), ..strict };
        assert_eq!(decide(&open, "<@U0BOT> hi", false), ChannelDecision::Allowed);
    }
}
