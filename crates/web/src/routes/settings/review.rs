//! The effects of a settings change, shown before it is saved.

use db::{DbError, Tx};
use llm::Price;
use models::{BudgetCeiling, TenantId, WorkspaceSettings};
use serde_json::{Value, json};

use super::fields::{FIELD_GROUPS, FieldKind, SettingsField};
use super::form::{SettingsForm, SettingsInput};
use crate::format;

/// A change of a field.
pub(super) struct SettingChange {
    pub(super) label: &'static str,
    pub(super) from: String,
    pub(super) to: String,
    /// The effect that people will notice.
    pub(super) effect: String,
}

/// Lists the changed fields with their effects.
pub(super) async fn list_changes(
    tx: &mut Tx,
    tenant_id: &TenantId,
    current: &SettingsInput,
    requested: &SettingsInput,
    ceiling: BudgetCeiling,
) -> Result<Vec<SettingChange>, DbError> {
    // The effects are those of the budget that applies, which may be the operator's.
    let mut effective = requested.clone();
    effective.settings.budget_micros = ceiling.cap(effective.settings.budget_micros);
    let (before, after) = (SettingsForm::from_input(current), SettingsForm::from_input(requested));
    let mut changes = Vec::new();
    for field in changed_fields(&before, &after) {
        changes.push(SettingChange {
            label: field.label,
            from: display_value(field, before.get(field.name)),
            to: display_value(field, after.get(field.name)),
            effect: describe_effect(tx, tenant_id, field.name, &effective).await?,
        });
    }
    Ok(changes)
}

/// Returns the changes for the audit log. Long texts are mentioned, but not copied.
pub(super) fn audit_detail(current: &SettingsInput, requested: &SettingsInput) -> Value {
    let (before, after) = (SettingsForm::from_input(current), SettingsForm::from_input(requested));
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
    requested: &SettingsInput,
) -> Result<String, DbError> {
    let settings = &requested.settings;
    Ok(match name {
        "channels" if settings.channels.is_empty() => {
            "EnableBot answers in every channel it is invited to, starting with the next message.".into()
        }
        "channels" => "In any other channel, each person who asks is told once, in a message only they see, that EnableBot may not answer there.".into(),
        "external" => "In other channels, people from other organisations are told once that EnableBot doesn't answer them.".into(),
        "external_facts" if settings.has_external_facts => {
            "People of other organisations may get replies that contain the company facts.".into()
        }
        "external_facts" => {
            "Replies to people of other organisations are written without the company facts.".into()
        }
        "follow_ups" if settings.has_follow_ups => {
            "EnableBot replies to every message from a person in threads it takes part in.".into()
        }
        "follow_ups" => "In threads, EnableBot replies only to messages that mention it and ignores all others.".into(),
        "memory_days" => memory_effect(tx, tenant_id, settings.memory_days).await?,
        "conversations" if settings.has_conversation_access => {
            "Admins can read and export all conversations, including direct messages. Consider telling your team.".into()
        }
        "conversations" => "Nobody can read conversations any more, neither here nor in an export.".into(),
        "redact" if settings.is_redaction_enabled => {
            "The model sees placeholders like “[redacted: e-mail]”, also in earlier messages, and can't use the original values.".into()
        }
        "redact" => "The model sees messages and files unredacted.".into(),
        "budget" => with_unpriced_warning(settings, budget_effect(tx, tenant_id, settings.budget_micros).await?),
        "person_daily" => with_unpriced_warning(settings, person_budget_effect(settings)),
        "cheaper_model" => cheaper_model_effect(settings),
        "budget_told" => "They get one message per month, when 80% of the budget is used.".into(),
        "feedback" if settings.has_feedback_buttons => "New replies have two feedback buttons.".into(),
        "feedback" => "New replies have no feedback buttons. Existing feedback is kept.".into(),
        "models" => with_unpriced_warning(settings, "New replies use these models. The cost per reply may change.".into()),
        _ => "Applies to new replies.".into(),
    })
}

async fn memory_effect(tx: &mut Tx, tenant_id: &TenantId, days: Option<i32>) -> Result<String, DbError> {
    let Some(days) = days else { return Ok("Messages are no longer deleted automatically.".into()) };
    Ok(match db::settings::count_messages_older_than(tx, tenant_id, days).await? {
        0 => "No messages are that old yet.".into(),
        count => format!(
            "{} messages are older and will be deleted for good within minutes.",
            format::grouped(count)
        ),
    })
}

async fn budget_effect(tx: &mut Tx, tenant_id: &TenantId, budget: Option<i64>) -> Result<String, DbError> {
    let spent = db::usage::spent_this_month(tx, tenant_id).await?;
    let so_far = format!("Spent this month: {}.", format::dollars(spent));
    Ok(match budget {
        Some(budget) if spent >= budget => {
            format!("{so_far} The budget is used up: EnableBot won't answer until the next month starts.")
        }
        Some(budget) => format!("{so_far} {} remaining.", format::dollars(budget - spent)),
        None => format!("{so_far} Spending is no longer limited."),
    })
}

fn person_budget_effect(settings: &WorkspaceSettings) -> String {
    match settings.person_daily_micros {
        Some(_) => {
            "A person who has reached it today (UTC) gets a notice and is answered again tomorrow. It applies from now on and \
             includes today's spending."
        }
        None => "A person can use the whole budget of the workspace.",
    }
    .into()
}

fn cheaper_model_effect(settings: &WorkspaceSettings) -> String {
    let Some(model) = &settings.cheaper_model else {
        return "The models don't change as the budget is used up.".into();
    };
    if settings.budget_micros.is_none() {
        return "It has no effect until a monthly budget is set.".into();
    }
    with_unpriced_warning(settings, format!("Once 80% of the monthly budget is used, only {model} is used."))
}

/// Appends a warning if a budget is set and a chosen model has no known price.
fn with_unpriced_warning(settings: &WorkspaceSettings, effect: String) -> String {
    let mut chosen = settings.models.iter().chain(&settings.cheaper_model);
    let Some(unpriced) = chosen.find(|model| Price::for_model(model).is_none()) else { return effect };
    if !settings.has_budget() {
        return effect;
    }
    let Price { prompt, completion } = Price::highest();
    format!(
        "{effect} The price of {unpriced} is unknown. It is charged like the most expensive known model: {} per million \
         input tokens and {} per million output tokens.",
        format::dollars(prompt),
        format::dollars(completion)
    )
}
