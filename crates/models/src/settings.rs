//! A workspace's settings.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Affiliation, ChannelId, UserId, redact};

/// A workspace's settings. [`WorkspaceSettings::default`] supplies everything that is not set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkspaceSettings {
    /// The model and its fallbacks, in the order in which they are tried. Empty: the deployment's models.
    pub models: Vec<String>,
    /// Extra instructions for the system prompt.
    pub instructions: String,
    /// Facts about the company for the system prompt.
    pub facts: String,
    /// True if the facts are used in replies to people of other organisations too.
    #[serde(rename = "external_facts")]
    pub has_external_facts: bool,
    /// The tone of replies.
    pub tone: Tone,
    /// The length of replies.
    pub length: ReplyLength,
    /// The channels in which the bot replies. Empty: all of them. It always replies in direct messages.
    pub channels: Vec<ChannelId>,
    /// True if the bot replies without a mention in threads in which it takes part.
    #[serde(rename = "follow_ups")]
    pub has_follow_ups: bool,
    /// Days after which the bot forgets a conversation. `None`: never.
    pub memory_days: Option<i32>,
    /// The workspace's monthly budget, in millionths of a dollar. `None`: no limit.
    pub budget_micros: Option<i64>,
    /// The daily budget per person, in millionths of a dollar. `None`: no limit.
    pub person_daily_micros: Option<i64>,
    /// The model used once 80 % of the monthly budget is spent. `None`: the same models as before.
    pub cheaper_model: Option<String>,
    /// The people notified when the budget is nearly used up. Empty: the managers.
    #[serde(rename = "budget_told")]
    pub budget_alert_recipients: Vec<UserId>,
    /// True if replies have 👍 and 👎 buttons.
    #[serde(rename = "feedback")]
    pub has_feedback_buttons: bool,
    /// True if conversations can be read in the dashboard.
    #[serde(rename = "conversations")]
    pub has_conversation_access: bool,
    /// True if secrets and personal data are redacted before text is sent to the model.
    #[serde(rename = "redact")]
    pub is_redaction_enabled: bool,
}

/// The tone of replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// The model's default.
    #[default]
    Plain,
    /// Warm, like a colleague.
    Friendly,
    /// Polite and reserved.
    Formal,
    /// Facts without decoration.
    Terse,
}

/// The length of replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyLength {
    /// As long as the question needs.
    #[default]
    Fitting,
    /// A few sentences.
    Short,
    /// With background and examples.
    Thorough,
}

impl Default for WorkspaceSettings {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            instructions: String::new(),
            facts: String::new(),
            has_external_facts: false,
            tone: Tone::default(),
            length: ReplyLength::default(),
            channels: Vec::new(),
            has_follow_ups: true,
            memory_days: None,
            budget_micros: None,
            person_daily_micros: None,
            cheaper_model: None,
            budget_alert_recipients: Vec::new(),
            has_feedback_buttons: true,
            has_conversation_access: false,
            is_redaction_enabled: false,
        }
    }
}

impl WorkspaceSettings {
    /// Returns true if the bot replies in the channel.
    pub fn is_channel_allowed(&self, channel_id: &ChannelId) -> bool {
        self.channels.is_empty() || self.channels.contains(channel_id)
    }

    /// Returns true if a monthly or daily budget is set.
    pub fn has_budget(&self) -> bool {
        self.budget_micros.is_some() || self.person_daily_micros.is_some()
    }

    /// Redacts a text from a person or a file, if redaction is enabled.
    pub fn redact_if_enabled<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_redaction_enabled { redact(text).into() } else { text.into() }
    }

    /// Returns the settings as text for the system prompt of a reply to such a person; empty if none are set.
    pub fn to_instructions(&self, asker: Affiliation) -> String {
        let tone = match self.tone {
            Tone::Plain => "",
            Tone::Friendly => "Speak warmly and informally, like a colleague.",
            Tone::Formal => "Speak politely and formally.",
            Tone::Terse => "State facts without pleasantries.",
        };
        let length = match self.length {
            ReplyLength::Fitting => "",
            ReplyLength::Short => "Answer in a few sentences unless asked for more.",
            ReplyLength::Thorough => "Answer thoroughly, with background and examples.",
        };
        let instructions = self.instructions.trim();
        let facts = match self.facts.trim() {
            _ if asker.is_outside() && !self.has_external_facts => String::new(),
            "" => String::new(),
            facts => format!("What you know about the company:\n{facts}"),
        };
        let parts = [tone, length, instructions, &facts].into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_settings_add_no_instructions() {
        assert_eq!(WorkspaceSettings::default().to_instructions(Affiliation::Member), "");
        let set = WorkspaceSettings {
            tone: Tone::Formal,
            facts: " We sell tea. \n".into(),
            ..WorkspaceSettings::default()
        };
        let expected = "Speak politely and formally.\n\nWhat you know about the company:\nWe sell tea.";
        assert_eq!(set.to_instructions(Affiliation::Member), expected);
        assert_eq!(set.to_instructions(Affiliation::Guest), expected);
    }

    #[test]
    fn company_facts_are_kept_from_outsiders() {
        let set = WorkspaceSettings { facts: "We sell tea.".into(), ..WorkspaceSettings::default() };
        for outsider in [Affiliation::External, Affiliation::Bot, Affiliation::from("unknown")] {
            assert_eq!(set.to_instructions(outsider), "", "{outsider:?}");
            let opened = WorkspaceSettings { has_external_facts: true, ..set.clone() };
            assert!(opened.to_instructions(outsider).contains("tea"), "{outsider:?}");
        }
    }

    #[test]
    fn empty_channel_list_allows_all() {
        let channel = ChannelId::from("C1");
        assert!(WorkspaceSettings::default().is_channel_allowed(&channel));
        let only = WorkspaceSettings { channels: vec!["C2".into()], ..WorkspaceSettings::default() };
        assert!(!only.is_channel_allowed(&channel) && only.is_channel_allowed(&"C2".into()));
    }
}
