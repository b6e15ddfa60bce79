//! The end of an installation. Its events may come in any order, late, or twice, and none may harm a newer
//! install.

use db::audit_log::AuditAction;
use db::threads::{Job, Lease};
use db::{Db, DbError, Tx};
use models::{EventOutcome, TeamId, TenantId, UserId};
use serde_json::json;

use crate::job::context::{begin_fenced, finish_event};
use crate::job::error::JobError;
use crate::token_refresh;

/// Deletes the token at once, and the data at once or at the end of the grace period.
pub(crate) async fn uninstall(
    db: &Db,
    lease: &Lease,
    job: &Job,
    event_time: i64,
    grace_days: i32,
) -> Result<EventOutcome, JobError> {
    let tenant_id = &job.tenant_id;
    let Some(mut tx) = begin_locked(db, lease, tenant_id).await? else {
        return Ok(EventOutcome::NotInstalled);
    };
    if db::installations::is_stale(&mut tx, tenant_id, event_time).await? {
        return finish_event(tx, job, (EventOutcome::Stale, Some("the bot was installed again since"))).await;
    }
    // The event is deleted with everything else, or ends here. The receipt and the audit entry are written
    // last.
    let deletion = match grace_days {
        0 => Some(db::tenants::delete(&mut tx, tenant_id, "uninstalled").await?),
        _ => {
            db::installations::delete(&mut tx, tenant_id).await?;
            db::tenants::schedule_deletion(&mut tx, tenant_id, grace_days).await?;
            db::events::finish(&mut tx, tenant_id, job.seq, EventOutcome::Uninstalled, None).await?;
            None
        }
    };
    let detail = json!({ "event_id": job.event_id, "grace_days": grace_days });
    db::audit_log::insert(&mut tx, tenant_id, "slack", AuditAction::Uninstalled, detail).await?;
    if let Some(deletion) = deletion {
        db::tenants::write_receipt(&mut tx, tenant_id, &deletion).await?;
    }
    tx.commit().await?;
    tracing::info!("app uninstalled");
    Ok(EventOutcome::Uninstalled)
}

/// Disables the installation if its bot user's tokens were revoked. The data stays until an uninstall
/// follows.
pub(crate) async fn revoke_tokens(
    db: &Db,
    lease: &Lease,
    job: &Job,
    event_time: i64,
    bot_user_ids: &[UserId],
) -> Result<EventOutcome, JobError> {
    let Some(mut tx) = begin_locked(db, lease, &job.tenant_id).await? else {
        return Ok(EventOutcome::NotInstalled);
    };
    let installed = db::installations::find(&mut tx, &job.tenant_id).await?;
    let Some(installed) = installed else {
        return finish_event(tx, job, (EventOutcome::Stale, Some("the bot is not installed"))).await;
    };
    if !bot_user_ids.contains(&installed.installation.bot_user_id) {
        return finish_event(tx, job, (EventOutcome::Done, Some("tokens of another bot user"))).await;
    }
    if db::installations::is_stale(&mut tx, &job.tenant_id, event_time).await? {
        return finish_event(tx, job, (EventOutcome::Stale, Some("the bot was installed again since"))).await;
    }
    drop(tx);
    token_refresh::disable(db, &job.tenant_id, "tokens_revoked").await?;
    finish_event(begin_fenced(db, lease).await?, job, (EventOutcome::Done, None)).await
}

/// Records the workspaces of an org-wide install: an admin of the organisation adds it to each.
pub(crate) async fn set_team_access(
    db: &Db,
    lease: &Lease,
    job: &Job,
    is_granted: bool,
    team_ids: &[TeamId],
) -> Result<EventOutcome, JobError> {
    let tenant_id = &job.tenant_id;
    let Some(mut tx) = begin_locked(db, lease, tenant_id).await? else {
        return Ok(EventOutcome::NotInstalled);
    };
    let action = if is_granted {
        db::team_access::grant(&mut tx, tenant_id, team_ids).await?;
        AuditAction::TeamAccessGranted
    } else {
        db::team_access::revoke(&mut tx, tenant_id, team_ids).await?;
        AuditAction::TeamAccessRevoked
    };
    db::events::finish(&mut tx, tenant_id, job.seq, EventOutcome::Done, None).await?;
    let detail = json!({ "event_id": job.event_id, "team_ids": team_ids });
    db::audit_log::insert(&mut tx, tenant_id, "slack", action, detail).await?;
    tx.commit().await?;
    Ok(EventOutcome::Done)
}

/// Deletes the data of workspaces whose grace period is over, each in a transaction of its own.
pub(crate) async fn delete_expired_tenants(db: &Db) -> Result<(), DbError> {
    let due = db::tenants::list_due(&mut db.begin_cross_tenant().await?).await?;
    for tenant_id in due {
        match delete_if_due(db, &tenant_id).await {
            Ok(true) => tracing::info!(%tenant_id, "workspace data deleted"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%tenant_id, error = %error, "workspace data not deleted; retried in a minute");
            }
        }
    }
    Ok(())
}

async fn delete_if_due(db: &Db, tenant_id: &TenantId) -> Result<bool, DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    if !db::tenants::lock_due(&mut tx, tenant_id).await? {
        return Ok(false);
    }
    let reason = "the grace period after the uninstall is over";
    let deletion = db::tenants::delete(&mut tx, tenant_id, reason).await?;
    db::tenants::write_receipt(&mut tx, tenant_id, &deletion).await?;
    tx.commit().await?;
    Ok(true)
}

/// Ends an event that does not open because its tenant was deleted in the meantime.
pub(crate) async fn finish_orphan(
    db: &Db,
    lease: &Lease,
    job: &Job,
    error: DbError,
) -> Result<EventOutcome, JobError> {
    match begin_locked(db, lease, &job.tenant_id).await? {
        Some(_) => Err(error.into()),
        None => Ok(EventOutcome::NotInstalled),
    }
}

/// Begins a transaction with the tenant locked. Returns `None` if the tenant was deleted while this event was
/// being stored; then the event is deleted too.
async fn begin_locked(db: &Db, lease: &Lease, tenant_id: &TenantId) -> Result<Option<Tx>, JobError> {
    let mut tx = begin_fenced(db, lease).await?;
    if db::tenants::lock(&mut tx, tenant_id).await? {
        return Ok(Some(tx));
    }
    db::tenants::delete_orphans(&mut tx, tenant_id).await?;
    tx.commit().await?;
    Ok(None)
}
