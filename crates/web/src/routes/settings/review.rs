//! What a change of the settings does, said before it is saved.

use db::{DbError, Tx};
use llm::Price;
use models::{TenantId, WorkspaceSettings};
use serde_json::{Value, json};

use super::fields::{FIELD_GROUPS, FieldKind, SettingsField};
use super::form::{SettingsForm, SettingsInput};
use crate::format;

/// A field that is to change.
pub(super) struct SettingChange {
    pub(super) label: &'static str,
    pub(super) from: String,
    pub(super) to: String,
    /// What people will notice.
    pub(super) effect: String,
}

/// Every field that is to change, with its effect.
pub(super) async fn list_changes(
    tx: &mut Tx,
    tenant_id: &TenantId,
    current: &SettingsInput,
    requested: &SettingsInput,
) -> Result<Vec<SettingChange>, DbError> {
    let (before, after) = (SettingsForm::from_input(current), SettingsForm::from_input(requested));
    let mut changes = Vec::new();
    for field in changed_fields(&before, &after) {
        changes.push(SettingChange {
            label: field.label,
            from: display_value(field, before.get(field.name)),
            to: display_value(field, after.get(field.name)),
            effect: describe_effect(tx, tenant_id, field.name, requested).await?,
        });
    }
    Ok(changes)
}

/// What goes into the audit log: long texts only by their names.
pub(super) fn audit_detail(standing: &SettingsInput, wanted: &SettingsInput) -> Value {
    let (before, after) = (SettingsForm::from_input(standing), SettingsForm::from_input(wanted));
    let entry = |field: &SettingsField| match field.kind {
        FieldKind::TextArea => json!({ "setting": field.name }),
        _ => {
            json!({ "setting": field.name, "from": before.get(field.name), "to": after.get(field.name) })
        }
    };
    changed_fields(&before, &after).map(entry).collect()
}

fn changed_fields<'a>(
    before: &'a SettingsForm,
    after: &'a SettingsForm,
) -> impl Iterator<Item = &'static SettingsField> + use<'a> {
    let fields = FIELD_GROUPS.iter().flat_map(|(_, fields)| fields.iter());
    fields.filter(|field| before.get(field.name) != after.get(field.name))
}

fn display_value(field: &SettingsField, content: &str) -> String {
    match (&field.kind, content) {
        (FieldKind::Checkbox, "") => "off".to_owned(),
        (_, "") => field.default.to_owned(),
        (FieldKind::Select(choices), word) => {
            let chosen = choices.iter().find(|(name, _)| *name == word);
            chosen.map_or(word, |(_, label)| label).to_owned()
        }
        (FieldKind::TextArea, text) => {
            let start: String = text.chars().take(160).collect();
            if start.len() < text.len() { format!("{start}…") } else { start }
        }
        (_, content) => content.to_owned(),
    }
}

async fn describe_effect(
    tx: &mut Tx,
    tenant_id: &TenantId,
    name: &str,
    wanted: &SettingsInput,
) -> Result<String, DbError> {
    let settings = &wanted.settings;
    Ok(match name {
        "channels" if settings.channels.is_empty() => {
            "It answers wherever it is invited, from the next message on.".into()
        }
        "channels" => "In any other channel whoever asks is told once, and only they see it, that it may not answer there.".into(),
        "external" => "Elsewhere people of other organisations are told once that they are not answered.".into(),
        "follow_ups" if settings.has_follow_ups => {
            "In threads in which it takes part it answers every message of a person.".into()
        }
        "follow_ups" => "In threads it answers only messages that mention it; others it passes over in silence.".into(),
        "memory_days" => memory_effect(tx, tenant_id, settings.memory_days).await?,
        "conversations" if settings.has_conversation_access => {
            "Admins can read what people asked, direct messages too. You may want to tell them.".into()
        }
        "conversations" => "Nobody can read conversations here any more.".into(),
        "redact" if settings.is_redaction_enabled => {
            "The model reads “[redacted: e-mail]” and the like, also of what was said before; it cannot work with what stood there.".into()
        }
        "redact" => "The model reads all that people and files say.".into(),
        "budget" => with_unpriced_warning(settings, budget_effect(tx, tenant_id, settings.budget_micros).await?),
        "person_daily" => with_unpriced_warning(settings, person_budget_effect(settings)),
        "cheaper_model" => cheaper_model_effect(settings),
        "budget_told" => "They get one message a month, when four fifths are used up.".into(),
        "feedback" if settings.has_feedback_buttons => "New answers carry two buttons.".into(),
        "feedback" => "New answers carry no buttons; what was judged stays.".into(),
        "models" => with_unpriced_warning(settings, "Answers that begin from now on are asked of these. Another model may cost more, or less.".into()),
        _ => "Every answer that begins from now on follows it.".into(),
    })
}

async fn memory_effect(tx: &mut Tx, tenant_id: &TenantId, days: Option<i32>) -> Result<String, DbError> {
    let Some(days) = days else { return Ok("Nothing is forgotten by itself any more.".into()) };
    Ok(match db::settings::count_messages_older_than(tx, tenant_id, days).await? {
        0 => "Nothing is that old yet.".into(),
        count => format!(
            "{} messages are older than that, and are forgotten for good within minutes.",
            format::grouped(count)
        ),
    })
}

async fn budget_effect(tx: &mut Tx, tenant_id: &TenantId, budget: Option<i64>) -> Result<String, DbError> {
    let spent = db::usage::spent_this_month(tx, tenant_id).await?;
    let so_far = format!("This month {} was spent so far.", format::dollars(spent));
    Ok(match budget {
        Some(budget) if spent >= budget => {
            format!("{so_far} That is all of it: nobody is answered until the next month begins.")
        }
        Some(budget) => format!("{so_far} {} are left.", format::dollars(budget - spent)),
        None => format!("{so_far} Nothing stops it."),
    })
}

fn person_budget_effect(settings: &WorkspaceSettings) -> String {
    match settings.person_daily_micros {
        Some(_) => {
            "Whoever has spent it today, in UTC, is told so and not answered until tomorrow. It counts from now on, with \
             what was spent today."
        }
        None => "A person may spend whatever the workspace may.",
    }
    .into()
}

fn cheaper_model_effect(settings: &WorkspaceSettings) -> String {
    let Some(model) = &settings.cheaper_model else {
        return "The same models answer until the budget is used up.".into();
    };
    if settings.budget_micros.is_none() {
        return "It is asked only where a budget a month is set, and none is.".into();
    }
    with_unpriced_warning(
        settings,
        format!("From 80 % of the month's budget on answers are asked of {model} alone."),
    )
}

/// A budget has to hold for a model, too, of which nobody knows what it costs.
fn with_unpriced_warning(settings: &WorkspaceSettings, effect: String) -> String {
    let mut chosen = settings.models.iter().chain(&settings.cheaper_model);
    let Some(unpriced) = chosen.find(|model| Price::for_model(model).is_none()) else { return effect };
    if !settings.has_budget() {
        return effect;
    }
    let Price { prompt, completion } = Price::highest();
    format!(
        "{effect} What {unpriced} costs is not known here: it counts as the dearest model that is, {} a million tokens read \
         and {} written.",
        format::dollars(prompt),
        format::dollars(completion)
    )
}
