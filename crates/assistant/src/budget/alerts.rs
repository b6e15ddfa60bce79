//! The alert before the monthly budget is used up. It is sent once a month.

use db::{Db, DbError, Tx};
use models::{Installation, TenantId, WorkspaceSettings};
use serde_json::{Value, json};
use slack::{BotAuth, MessageMetadata};

use crate::managers::{notify_managers, notify_people};

/// The percentage of the monthly budget at which the alert is sent and the cheaper model takes over.
const ALERT_THRESHOLD_PERCENT: i64 = 80;

/// Returns whether the spent amount has reached the threshold.
pub(super) fn is_near_limit(spent: i64, budget: i64) -> bool {
    spent.saturating_mul(100) >= budget.saturating_mul(ALERT_THRESHOLD_PERCENT)
}

/// Records that the alert is due, in the transaction that stores an answer's cost. Returns the detail for the
/// audit log if it is due. Only audit entries may follow it in the transaction.
pub(crate) async fn mark_threshold_reached(
    tx: &mut Tx,
    tenant_id: &TenantId,
    settings: &WorkspaceSettings,
) -> Result<Option<Value>, DbError> {
    let Some(budget) = settings.budget_micros else { return Ok(None) };
    let spent = db::usage::spent_this_month(tx, tenant_id).await?;
    if !is_near_limit(spent, budget) || !db::settings::mark_budget_notified(tx, tenant_id).await? {
        return Ok(None);
    }
    Ok(Some(json!({ "spent_micros": spent, "budget_micros": budget })))
}

/// Sends the alert to the workspace's budget contacts, or to its managers if none are set. Each gets a direct
/// message. A failure is logged.
pub async fn send_alerts(
    db: &Db,
    slack: &slack::Client,
    bot: &BotAuth,
    installation: &Installation,
    settings: &WorkspaceSettings,
    metadata: &MessageMetadata,
) {
    let text = alert_text(settings);
    match settings.budget_alert_recipients.as_slice() {
        [] => notify_managers(db, slack, bot, installation, &text, metadata).await,
        recipients => notify_people(slack, bot, recipients, &text, metadata).await,
    }
}

fn alert_text(settings: &WorkspaceSettings) -> String {
    let budget = settings.budget_micros.unwrap_or_default() as f64 / 1e6;
    let switched = match &settings.cheaper_model {
        Some(model) => format!("From now on {model} answers. "),
        None => String::new(),
    };
    format!(
        "More than {ALERT_THRESHOLD_PERCENT} % of this workspace's monthly budget ({budget:.2} $) is used \
         up. {switched}When the budget is used up, I stop answering until the next month begins, or until an \
         admin raises it in my dashboard, under Settings."
    )
}
