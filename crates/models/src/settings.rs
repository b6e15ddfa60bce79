//! How a workspace wants its bot.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{ChannelId, UserId, redact};

/// How a workspace wants its bot; what it has not set is as [`WorkspaceSettings::default`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkspaceSettings {
    /// The model and its fallbacks, in the order in which they are tried; none are the deployment's.
    pub models: Vec<String>,
    /// What the bot is told to be and to do, besides what it always is told.
    pub instructions: String,
    /// What it should know about the company.
    pub facts: String,
    /// How it speaks.
    pub tone: Tone,
    /// How much it says.
    pub length: ReplyLength,
    /// The channels in which it answers; none are all. In direct messages it always does.
    pub channels: Vec<ChannelId>,
    /// Whether a thread in which it takes part goes on without a mention.
    #[serde(rename = "follow_ups")]
    pub has_follow_ups: bool,
    /// Days after which it forgets what was said; `None`: never.
    pub memory_days: Option<i32>,
    /// What answers may cost in a month, in millionths of a dollar; `None`: whatever they cost.
    pub budget_micros: Option<i64>,
    /// What answers may cost a person in a day, in millionths of a dollar; `None`: whatever they cost.
    pub person_daily_micros: Option<i64>,
    /// The model that answers once four fifths of the month's budget are used up; `None`: as before.
    pub cheaper_model: Option<String>,
    /// Who is told when the budget goes to its end; nobody means whoever installed the bot.
    #[serde(rename = "budget_told")]
    pub budget_alert_recipients: Vec<UserId>,
    /// Whether answers carry 👍 and 👎.
    #[serde(rename = "feedback")]
    pub has_feedback_buttons: bool,
    /// Whether conversations can be read in the dashboard.
    #[serde(rename = "conversations")]
    pub has_conversation_access: bool,
    /// Whether secrets and personal data are taken out of what the model is shown.
    #[serde(rename = "redact")]
    pub is_redaction_enabled: bool,
}

/// How the bot speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As the model does by itself.
    #[default]
    Plain,
    /// Warm, like a colleague.
    Friendly,
    /// Polite and reserved.
    Formal,
    /// Facts without decoration.
    Terse,
}

/// How much the bot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyLength {
    /// As much as the question needs.
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
    /// Whether it answers in a channel.
    pub fn is_channel_allowed(&self, channel_id: &ChannelId) -> bool {
        self.channels.is_empty() || self.channels.contains(channel_id)
    }

    /// Whether anything limits what answers may cost.
    pub fn has_budget(&self) -> bool {
        self.budget_micros.is_some() || self.person_daily_micros.is_some()
    }

    /// What people and files say, as the model is shown it.
    pub fn redact_if_enabled<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_redaction_enabled { redact(text).into() } else { text.into() }
    }

    /// What the model is told of all this; empty where nothing is set.
    pub fn to_instructions(&self) -> String {
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
        assert_eq!(WorkspaceSettings::default().to_instructions(), "");
        let set = WorkspaceSettings {
            tone: Tone::Formal,
            facts: " We sell tea. \n".into(),
            ..WorkspaceSettings::default()
        };
        let told = "Speak politely and formally.\n\nWhat you know about the company:\nWe sell tea.";
        assert_eq!(set.to_instructions(), told);
    }

    #[test]
    fn empty_channel_list_allows_all() {
        let channel = ChannelId::from("C1");
        assert!(WorkspaceSettings::default().is_channel_allowed(&channel));
        let only = WorkspaceSettings { channels: vec!["C2".into()], ..WorkspaceSettings::default() };
        assert!(!only.is_channel_allowed(&channel) && only.is_channel_allowed(&"C2".into()));
    }
}
