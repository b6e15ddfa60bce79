//! Before the month's budget is used up, whoever is to know is told, once a month.

use db::Tx;
use models::{Installation, TenantId, UserId, WorkspaceSettings};
use serde_json::{Value, json};
use slack::{BotAuth, MessageMetadata, NewMessage, SlackError};

use super::{ALERT_THRESHOLD_PERCENT, is_near_limit};
use crate::state::ApiState;

/// Notes, with an answer's cost, that somebody is to be told; what stands in the audit log of it. Only entries of that come
/// behind it in the transaction.
pub(crate) async fn mark_threshold_reached(
    tx: &mut Tx,
    tenant_id: &TenantId,
    settings: &WorkspaceSettings,
) -> Result<Option<Value>, db::DbError> {
    let Some(budget) = settings.budget_micros else { return Ok(None) };
    let spent = db::usage::spent_this_month(tx, tenant_id).await?;
    if !is_near_limit(spent, budget) || !db::settings::mark_budget_notified(tx, tenant_id).await? {
        return Ok(None);
    }
    Ok(Some(json!({ "spent_micros": spent, "budget_micros": budget })))
}

/// Tells those who are to know, each in their own conversation with the bot.
pub(crate) async fn notify_budget_contacts(
    app: &ApiState,
    bot: &BotAuth,
    installation: &Installation,
    settings: &WorkspaceSettings,
    metadata: &MessageMetadata,
) {
    let budget = settings.budget_micros.unwrap_or_default() as f64 / 1e6;
    let then = match &settings.cheaper_model {
        Some(model) => format!("From now on {model} answers. "),
        None => String::new(),
    };
    let text = format!(
        "More than {ALERT_THRESHOLD_PERCENT} % of what I may spend this month ({budget:.2} $) is used up. {then}When all of it is, I answer \
         nobody until the next month begins, or until an admin raises it in my dashboard, under Settings."
    );
    let told = match settings.budget_alert_recipients.as_slice() {
        [] => std::slice::from_ref(&installation.installed_by),
        told => told,
    };
    for user_id in told {
        if let Err(error) = send_direct_message(app, bot, user_id, &text, metadata).await {
            tracing::warn!(error = %error, "somebody could not be told of the budget");
        }
    }
}

async fn send_direct_message(
    app: &ApiState,
    bot: &BotAuth,
    user_id: &UserId,
    text: &str,
    metadata: &MessageMetadata,
) -> Result<(), SlackError> {
    let dm = app.slack.open_dm(bot, user_id).await?;
    let message = NewMessage { channel_id: &dm, thread_ts: None, markdown: text, metadata, buttons: None };
    app.slack.post_message(bot, &message).await.map(drop)
}
