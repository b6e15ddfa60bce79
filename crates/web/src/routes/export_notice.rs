//! Exports of what people wrote: whether they may contain it, and who is told.

use db::audit_log::AuditAction;
use db::sessions::DashboardSession;
use db::{DbError, Tx};
use models::{EventId, EventPayload, InboundEvent, TenantId, UserId};
use serde_json::json;

/// Returns whether message text may be shown and exported in this workspace.
pub(super) async fn is_text_readable(tx: &mut Tx, tenant_id: &TenantId) -> Result<bool, DbError> {
    Ok(db::settings::find(tx, tenant_id).await?.settings.has_conversation_access)
}

/// Tells every manager of the workspace about an export that contains what people wrote, and records it as
/// reading. Only audit entries may follow in the transaction.
pub(super) async fn announce(
    tx: &mut Tx,
    session: &DashboardSession,
    person: Option<&UserId>,
) -> Result<(), DbError> {
    let (tenant_id, exported_by) = (&session.tenant_id, &session.user_id);
    for manager in db::managers::list_candidates(tx, tenant_id).await? {
        let notice = InboundEvent::system_event(
            tenant_id.clone(),
            EventId::new(format!("export-{}", uuid::Uuid::now_v7())),
            Some(manager),
            EventPayload::ExportNotice { exported_by: exported_by.clone(), person: person.cloned() },
        );
        db::event_inbox::append(tx, &notice).await?;
    }
    let detail = match person {
        Some(person) => json!({ "export_of": person }),
        None => json!({ "export_of": "everybody" }),
    };
    db::audit_log::insert(tx, tenant_id, exported_by.as_str(), AuditAction::ConversationRead, detail).await
}
