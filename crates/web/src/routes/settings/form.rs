//! The settings form: conversion to and from [`WorkspaceSettings`], with validation.

use models::{BudgetCeiling, ChannelId, ReplyLength, Tone, UserId, WorkspaceSettings};
use serde::{Deserialize, Serialize};

use super::field_errors::{CHANNEL_IDS, FieldError, FieldErrors, USER_IDS, format_amount, split_list};

/// Maximum size of a long text.
const MAX_TEXT_BYTES: usize = 8_000;

/// The contents of the form's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SettingsForm {
    pub(crate) models: String,
    pub(crate) instructions: String,
    pub(crate) facts: String,
    /// Checkboxes are empty unless checked: a browser sends only checked ones.
    pub(crate) external_facts: String,
    pub(crate) tone: String,
    pub(crate) length: String,
    pub(crate) channels: String,
    pub(crate) external: String,
    pub(crate) follow_ups: String,
    pub(crate) memory_days: String,
    pub(crate) budget: String,
    pub(crate) person_daily: String,
    pub(crate) cheaper_model: String,
    pub(crate) budget_told: String,
    pub(crate) feedback: String,
    pub(crate) conversations: String,
    pub(crate) redact: String,
}

/// Settings, and the channels open to external people, which are stored separately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SettingsInput {
    pub(crate) settings: WorkspaceSettings,
    pub(crate) external: Vec<ChannelId>,
}

impl SettingsForm {
    /// Fills the form from settings.
    pub(crate) fn from_input(input: &SettingsInput) -> Self {
        let SettingsInput { settings, external } = input;
        Self {
            models: settings.models.join(", "),
            instructions: settings.instructions.clone(),
            facts: settings.facts.clone(),
            external_facts: checkbox_value(settings.has_external_facts),
            tone: choice_value(&settings.tone),
            length: choice_value(&settings.length),
            channels: join_ids(&settings.channels),
            external: join_ids(external),
            follow_ups: checkbox_value(settings.has_follow_ups),
            memory_days: settings.memory_days.map(|days| days.to_string()).unwrap_or_default(),
            budget: settings.budget_micros.map(format_amount).unwrap_or_default(),
            person_daily: settings.person_daily_micros.map(format_amount).unwrap_or_default(),
            cheaper_model: settings.cheaper_model.clone().unwrap_or_default(),
            budget_told: join_ids(&settings.budget_alert_recipients),
            feedback: checkbox_value(settings.has_feedback_buttons),
            conversations: checkbox_value(settings.has_conversation_access),
            redact: checkbox_value(settings.is_redaction_enabled),
        }
    }

    /// Returns a field's content by its name.
    pub(crate) fn get(&self, name: &str) -> &str {
        match name {
            "models" => &self.models,
            "instructions" => &self.instructions,
            "facts" => &self.facts,
            "external_facts" => &self.external_facts,
            "tone" => &self.tone,
            "length" => &self.length,
            "channels" => &self.channels,
            "external" => &self.external,
            "follow_ups" => &self.follow_ups,
            "memory_days" => &self.memory_days,
            "budget" => &self.budget,
            "person_daily" => &self.person_daily,
            "cheaper_model" => &self.cheaper_model,
            "budget_told" => &self.budget_told,
            "feedback" => &self.feedback,
            "conversations" => &self.conversations,
            "redact" => &self.redact,
            _ => "",
        }
    }

    /// Parses the form. `offered` are the models that may be chosen; `None` allows any. No budget may be above
    /// the operator's ceiling.
    ///
    /// # Errors
    /// Lists the errors of all fields.
    pub(crate) fn parse(
        &self,
        offered: Option<&[String]>,
        ceiling: BudgetCeiling,
    ) -> Result<SettingsInput, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        let (models, cheaper_model) = self.parse_models(offered, &mut errors);
        for (name, text) in [("instructions", &self.instructions), ("facts", &self.facts)] {
            if text.len() > MAX_TEXT_BYTES {
                errors.add(
                    name,
                    format!("This is {} bytes long. The maximum is {MAX_TEXT_BYTES}.", text.len()),
                );
            }
        }
        let channels = errors.parse_ids("channels", &self.channels, &CHANNEL_IDS);
        let external = errors.parse_ids("external", &self.external, &CHANNEL_IDS);
        let recipients = errors.parse_ids("budget_told", &self.budget_told, &USER_IDS);
        let memory_days = errors.parse_days("memory_days", &self.memory_days);
        let budget_micros = errors.parse_amount("budget", &self.budget);
        errors.check_ceiling("budget", budget_micros, ceiling);
        let person_daily_micros = errors.parse_amount("person_daily", &self.person_daily);
        if !errors.0.is_empty() {
            return Err(errors.0);
        }
        let settings = WorkspaceSettings {
            models,
            instructions: self.instructions.trim().replace("\r\n", "\n"),
            facts: self.facts.trim().replace("\r\n", "\n"),
            has_external_facts: !self.external_facts.is_empty(),
            tone: parse_choice::<Tone>(&self.tone),
            length: parse_choice::<ReplyLength>(&self.length),
            channels: channels.into_iter().map(ChannelId::from).collect(),
            has_follow_ups: !self.follow_ups.is_empty(),
            memory_days,
            budget_micros,
            person_daily_micros,
            cheaper_model,
            budget_alert_recipients: recipients.into_iter().map(UserId::from).collect(),
            has_feedback_buttons: !self.feedback.is_empty(),
            has_conversation_access: !self.conversations.is_empty(),
            is_redaction_enabled: !self.redact.is_empty(),
        };
        Ok(SettingsInput { settings, external: external.into_iter().map(ChannelId::from).collect() })
    }

    fn parse_models(
        &self,
        offered: Option<&[String]>,
        errors: &mut FieldErrors,
    ) -> (Vec<String>, Option<String>) {
        let (models, mut cheaper) = (split_list(&self.models), split_list(&self.cheaper_model));
        for (name, chosen) in [("models", &models), ("cheaper_model", &cheaper)] {
            if let Some(message) = find_unavailable_model(chosen, offered) {
                errors.add(name, message);
            }
        }
        if cheaper.len() > 1 {
            errors.add("cheaper_model", "Enter the name of one model.");
        }
        (models, cheaper.pop())
    }
}

/// Returns an error message if a model is not offered.
fn find_unavailable_model(chosen: &[String], offered: Option<&[String]>) -> Option<String> {
    let offered = offered?;
    let unknown = chosen.iter().find(|model| !offered.contains(model))?;
    let offered = offered.join(", ");
    Some(format!(
        "{unknown} is not available on this server. Available: {offered}. With your own API key you can choose any model."
    ))
}

fn join_ids<T: ToString>(ids: &[T]) -> String {
    ids.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn checkbox_value(on: bool) -> String {
    if on { "on".to_owned() } else { String::new() }
}

/// Returns the word that stands for a choice in the form.
fn choice_value(choice: &impl Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Parses a choice; unknown words become the default.
fn parse_choice<T: for<'de> Deserialize<'de> + Default>(word: &str) -> T {
    serde_json::from_value(word.into()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_form_round_trips() {
        let settings = WorkspaceSettings {
            models: vec!["a".into(), "b".into()],
            facts: "We sell tea.".into(),
            has_external_facts: true,
            tone: Tone::Terse,
            channels: vec!["C0ONE".into()],
            has_follow_ups: false,
            is_redaction_enabled: true,
            memory_days: Some(90),
            budget_micros: Some(12_500_000),
            person_daily_micros: Some(500_000),
            cheaper_model: Some("b".into()),
            budget_alert_recipients: vec!["U0ADA".into()],
            ..WorkspaceSettings::default()
        };
        let input = SettingsInput { settings, external: vec!["C0TWO".into()] };
        assert_eq!(SettingsForm::from_input(&input).parse(None, BudgetCeiling::default()), Ok(input));
        assert_eq!(
            SettingsForm::from_input(&SettingsInput::default()).parse(None, BudgetCeiling::default()),
            Ok(SettingsInput::default())
        );
    }

    #[test]
    fn invalid_settings_report_every_field() {
        let form = SettingsForm {
            models: "x".into(),
            channels: "#general".into(),
            external: "c0one".into(),
            memory_days: "0".into(),
            budget: "-1".into(),
            person_daily: "much".into(),
            cheaper_model: "y z".into(),
            budget_told: "ada".into(),
            facts: "x".repeat(MAX_TEXT_BYTES + 1),
            ..SettingsForm::default()
        };
        let errors = form.parse(Some(&["y".to_owned()]), BudgetCeiling::default()).expect_err("invalid");
        let names: Vec<_> = errors.iter().map(|error| error.name).collect();
        assert_eq!(
            names,
            [
                "models",
                "cheaper_model",
                "cheaper_model",
                "facts",
                "channels",
                "external",
                "budget_told",
                "memory_days",
                "budget",
                "person_daily"
            ]
        );
        assert!(errors[0].message.contains("Available: y."));
    }
}
