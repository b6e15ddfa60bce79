//! The settings as a form: each field with its meaning and its default, read into [`WebSettings`] and back.

use models::{ChannelId, ReplyLength, Tone, UserId, WorkspaceSettings};
use serde::{Deserialize, Serialize};

/// Bytes of a longer text, at most.
const MAX_TEXT_BYTES: usize = 8_000;

/// Models, channels or people in a list, at most.
const MAX_LIST_ITEMS: usize = 200;

/// What the form's fields hold, as people write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SettingsForm {
    pub(crate) models: String,
    pub(crate) instructions: String,
    pub(crate) facts: String,
    pub(crate) tone: String,
    pub(crate) length: String,
    pub(crate) channels: String,
    pub(crate) external: String,
    /// A browser sends a box only where it is ticked.
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

/// What is wrong with a field, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) name: &'static str,
    pub(crate) message: String,
}

/// Settings, and the channels that are open to people of other organisations, which are kept apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SettingsInput {
    pub(crate) settings: WorkspaceSettings,
    pub(crate) external: Vec<ChannelId>,
}

impl SettingsForm {
    /// As it stands.
    pub(crate) fn from_input(wanted: &SettingsInput) -> Self {
        let SettingsInput { settings, external } = wanted;
        Self {
            models: settings.models.join(", "),
            instructions: settings.instructions.clone(),
            facts: settings.facts.clone(),
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

    /// A field's content.
    pub(crate) fn get(&self, name: &str) -> &str {
        match name {
            "models" => &self.models,
            "instructions" => &self.instructions,
            "facts" => &self.facts,
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

    /// What is wanted, or all that is wrong with it. `offered` are the models that may be chosen; `None`: any.
    pub(crate) fn parse(&self, offered: Option<&[String]>) -> Result<SettingsInput, Vec<FieldError>> {
        let mut wrong = Vec::new();
        let mut of = |name, what: String| wrong.push(FieldError { name, message: what });
        let (models, mut cheaper) = (split_list(&self.models), split_list(&self.cheaper_model));
        for (name, chosen) in [("models", &models), ("cheaper_model", &cheaper)] {
            if let Some(what) = find_unavailable_model(chosen, offered) {
                of(name, what);
            }
        }
        if cheaper.len() > 1 {
            of("cheaper_model", "Write the name of one model.".into());
        }
        for (name, text) in [("instructions", &self.instructions), ("facts", &self.facts)] {
            if text.len() > MAX_TEXT_BYTES {
                of(name, format!("This is {} characters long; {MAX_TEXT_BYTES} is the most.", text.len()));
            }
        }
        let channels = parse_ids(&self.channels, &["C", "G"]).unwrap_or_else(|id| {
            of("channels", invalid_id_message(&id, "channel", "C0123456789"));
            Vec::new()
        });
        let external = parse_ids(&self.external, &["C", "G"]).unwrap_or_else(|id| {
            of("external", invalid_id_message(&id, "channel", "C0123456789"));
            Vec::new()
        });
        let told = parse_ids(&self.budget_told, &["U", "W"]).unwrap_or_else(|id| {
            of("budget_told", invalid_id_message(&id, "person", "U0123456789"));
            Vec::new()
        });
        let memory_days = parse_optional(&self.memory_days, |text| {
            text.parse().ok().filter(|days| (1..=36_500).contains(days))
        });
        if memory_days.is_err() {
            of("memory_days", "Write a whole number of days, like 90, or nothing for ever.".into());
        }
        let amount =
            |text: &str| parse_optional(text, |text| text.replace(',', ".").parse().ok().and_then(to_micros));
        let (budget, person_daily) = (amount(&self.budget), amount(&self.person_daily));
        for (name, amount) in [("budget", &budget), ("person_daily", &person_daily)] {
            if amount.is_err() {
                of(name, "Write an amount in dollars, like 50 or 12.50, or nothing for no budget.".into());
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let settings = WorkspaceSettings {
            models,
            instructions: self.instructions.trim().replace("\r\n", "\n"),
            facts: self.facts.trim().replace("\r\n", "\n"),
            tone: parse_choice::<Tone>(&self.tone),
            length: parse_choice::<ReplyLength>(&self.length),
            channels: channels.into_iter().map(ChannelId::from).collect(),
            has_follow_ups: !self.follow_ups.is_empty(),
            memory_days: memory_days.unwrap_or_default(),
            budget_micros: budget.unwrap_or_default(),
            person_daily_micros: person_daily.unwrap_or_default(),
            cheaper_model: cheaper.pop(),
            budget_alert_recipients: told.into_iter().map(UserId::from).collect(),
            has_feedback_buttons: !self.feedback.is_empty(),
            has_conversation_access: !self.conversations.is_empty(),
            is_redaction_enabled: !self.redact.is_empty(),
        };
        Ok(SettingsInput { settings, external: external.into_iter().map(ChannelId::from).collect() })
    }
}

/// What is wrong with models that are not among those that may be chosen.
fn find_unavailable_model(chosen: &[String], offered: Option<&[String]>) -> Option<String> {
    let offered = offered?;
    let unknown = chosen.iter().find(|model| !offered.contains(model))?;
    let offered = offered.join(", ");
    Some(format!(
        "This server has no {unknown}. It has: {offered}. With a key of your own you can choose any."
    ))
}

/// An empty field is none.
fn parse_optional<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ()> {
    match text.trim() {
        "" => Ok(None),
        text => read(text).map(Some).ok_or(()),
    }
}

fn split_list(text: &str) -> Vec<String> {
    let parts = text.split([',', ' ', '\n', '\r']).map(str::trim).filter(|part| !part.is_empty());
    let mut list: Vec<String> = Vec::new();
    for part in parts {
        if !list.iter().any(|known| known == part) {
            list.push(part.to_owned());
        }
    }
    list
}

/// Slack's ids of these kinds, or what is none.
fn parse_ids(text: &str, kinds: &[&str]) -> Result<Vec<String>, String> {
    let ids = split_list(text);
    let is_id = |id: &str| {
        kinds.iter().any(|kind| id.starts_with(kind))
            && (3..=30).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    match ids.iter().find(|id| !is_id(id)) {
        Some(id) => Err(id.clone()),
        None if ids.len() > MAX_LIST_ITEMS => Err(format!("more than {MAX_LIST_ITEMS}")),
        None => Ok(ids),
    }
}

fn invalid_id_message(id: &str, what: &str, example: &str) -> String {
    format!("“{id}” is not a {what}'s id. Slack shows it in the details; it looks like {example}.")
}

fn join_ids<T: ToString>(ids: &[T]) -> String {
    ids.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn checkbox_value(on: bool) -> String {
    if on { "on".to_owned() } else { String::new() }
}

fn format_amount(micros: i64) -> String {
    let (whole, rest) = (micros / 1_000_000, micros % 1_000_000 / 10_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:02}") }
}

/// To the cent; a budget of nothing would be none.
fn to_micros(dollars: f64) -> Option<i64> {
    (0.01..=10_000_000.0).contains(&dollars).then(|| (dollars * 100.0).round() as i64 * 10_000)
}

/// The word that a choice is stored as.
fn choice_value(choice: &impl Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What is no choice is the default.
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
        let wanted = SettingsInput { settings, external: vec!["C0TWO".into()] };
        assert_eq!(SettingsForm::from_input(&wanted).parse(None), Ok(wanted));
        assert_eq!(
            SettingsForm::from_input(&SettingsInput::default()).parse(None),
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
        let wrong = form.parse(Some(&["y".to_owned()])).expect_err("wrong");
        let names: Vec<_> = wrong.iter().map(|wrong| wrong.name).collect();
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
        assert!(wrong[0].message.contains("It has: y."));
    }
}
