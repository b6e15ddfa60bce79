//! The record of an answer: what is remembered, its cost, and its audit entry, in one transaction of the
//! caller.

use std::time::{Duration, Instant};

use db::audit_log::AuditAction;
use db::usage::{NewUsage, UsageOutcome};
use db::{DbError, Tx};
use models::{
    Affiliation, ChatMessage, EventId, EventOutcome, Role, TenantId, ThreadKey, UserId, WorkspaceSettings,
};
use serde_json::{Value, json};

use crate::budget::{Charge, mark_threshold_reached};

/// An answer that ended and cost something, or was at least shown.
pub struct AnswerRecord<'a> {
    /// The workspace.
    pub tenant_id: &'a TenantId,
    /// The person who asked, or the API key.
    pub user_id: &'a UserId,
    /// The conversation.
    pub thread: &'a ThreadKey,
    /// The actor of the audit entries.
    pub actor: &'a str,
    /// The workspace's settings.
    pub settings: &'a WorkspaceSettings,
    /// The message and the answer; `None` if they are not remembered.
    pub turn: Option<RememberedTurn>,
    /// The charge that is not stored yet.
    pub charge: Option<&'a Charge>,
    /// The outcome for the usage table.
    pub outcome: EventOutcome,
    /// The reason, where the outcome needs one.
    pub reason: Option<&'a str>,
    /// The time since the first text arrived.
    pub since_first_token: Option<Duration>,
    /// The detail of the audit entry.
    pub audit_detail: Value,
    /// The work that the answer belongs to.
    pub origin: AnswerOrigin<'a>,
}

/// A message and its answer, as the conversation remembers them.
pub struct RememberedTurn {
    /// The affiliation of the person who asked.
    pub affiliation: Affiliation,
    /// The message.
    pub message: String,
    /// The answer.
    pub answer: String,
}

/// The work that an answer belongs to.
#[derive(Clone, Copy, Debug)]
pub enum AnswerOrigin<'a> {
    /// A queued event, which ends with the answer. Earlier charges are in `replies`.
    Event {
        /// Its number.
        seq: i64,
        /// Slack's id of it.
        event_id: &'a EventId,
    },
    /// A request over HTTP.
    HttpRequest {
        /// The number under which its cost is reserved, if it is.
        reserved_seq: Option<i64>,
        /// The time at which it arrived.
        asked_at: Instant,
    },
}

/// Writes the answer's chat memory, usage and audit entry, and ends its event. Of a person who was forgotten
/// meanwhile only the cost is written. Returns whether the budget alert is to be sent once the transaction is
/// committed.
pub async fn commit(tx: &mut Tx, mut record: AnswerRecord<'_>) -> Result<bool, DbError> {
    let nobody = UserId::from("forgotten");
    if is_subject_forgotten(tx, &record).await? {
        (record.user_id, record.turn) = (&nobody, None);
    }
    let AnswerRecord { tenant_id, user_id, thread, outcome, reason, since_first_token, .. } = record;
    let seq = match record.origin {
        AnswerOrigin::Event { seq, .. } | AnswerOrigin::HttpRequest { reserved_seq: Some(seq), .. } => seq,
        AnswerOrigin::HttpRequest { reserved_seq: None, .. } => db::events::next_seq(tx).await?,
    };
    if let Some(RememberedTurn { affiliation, message, answer }) = record.turn.take() {
        let remembered = |role, text| ChatMessage { role, user_id: user_id.clone(), affiliation, text };
        let turn = [remembered(Role::User, message), remembered(Role::Assistant, answer)];
        db::chat_memory::insert(tx, tenant_id, thread, seq, &turn).await?;
    }
    let ended = UsageOutcome { outcome, reason, since_first_token };
    match record.origin {
        AnswerOrigin::Event { .. } => {
            if let Some(Charge { usage, cost_micros }) = record.charge {
                db::replies::add_usage(tx, tenant_id, seq, usage, *cost_micros).await?;
            }
            db::usage::record(tx, tenant_id, seq, ended).await?;
            db::replies::clear_text(tx, tenant_id, seq).await?;
            if !db::events::finish(tx, tenant_id, seq, outcome, reason).await? {
                record.actor = "enablebot";
            }
        }
        AnswerOrigin::HttpRequest { asked_at, .. } => {
            let Charge { usage, cost_micros } = &record.charge.cloned().unwrap_or_default();
            let since_asked = asked_at.elapsed();
            let asked = NewUsage { user_id, thread, since_asked, usage, cost_micros: *cost_micros };
            db::usage::record_api(tx, tenant_id, seq, asked, ended).await?;
        }
    }
    // Only audit entries may follow the mark in the transaction.
    let warned = mark_threshold_reached(tx, tenant_id, record.settings).await?;
    let is_alert_due = warned.is_some();
    if let Some(detail) = warned {
        write_audit_entry(tx, &record, AuditAction::BudgetWarned, detail).await?;
    }
    let detail = record.audit_detail.take();
    write_audit_entry(tx, &record, AuditAction::Answered, detail).await?;
    Ok(is_alert_due)
}

/// Returns whether the person for whom a program asks was forgotten since it asked. An event of such a person has
/// ended, which is noticed where it is stored.
async fn is_subject_forgotten(tx: &mut Tx, record: &AnswerRecord<'_>) -> Result<bool, DbError> {
    let AnswerOrigin::HttpRequest { asked_at, .. } = record.origin else { return Ok(false) };
    if record.user_id.as_str().starts_with("key:") {
        return Ok(false);
    }
    db::tombstones::lock_person(tx, record.tenant_id, record.user_id, false).await?;
    let since_asked = Some(asked_at.elapsed());
    db::tombstones::is_forgotten(tx, record.tenant_id, record.user_id, since_asked).await
}

async fn write_audit_entry(
    tx: &mut Tx,
    record: &AnswerRecord<'_>,
    action: AuditAction,
    mut detail: Value,
) -> Result<(), DbError> {
    if let AnswerOrigin::Event { event_id, .. } = record.origin {
        detail["event_id"] = json!(event_id);
    }
    db::audit_log::insert(tx, record.tenant_id, record.actor, action, detail).await
}
