//! How a workspace leaves. The events may come in any order, late, or twice, and none may harm a newer install.

use db::audit_log::AuditAction;
use db::threads::{Job, Lease};
use db::{DbError, Tx};
use models::{EventOutcome, TeamId, TenantId, UserId};
use serde_json::json;

use crate::job_context::begin_fenced;
use crate::job_error::JobError;
use crate::state::ApiState;
use crate::token_refresh;

/// The token goes at once; the data at once too, or when the grace is over.
pub(crate) async fn uninstall(
    app: &ApiState,
    lease: &Lease,
    job: &Job,
    event_time: i64,
) -> Result<EventOutcome, JobError> {
    let tenant_id = &job.tenant_id;
    let Some(mut tx) = begin_locked(app, lease, tenant_id).await? else {
        return Ok(EventOutcome::NotInstalled);
    };
    if db::installations::is_stale(&mut tx, tenant_id, event_time).await? {
        return commit_outcome(tx, job, EventOutcome::Stale, Some("the bot was installed again since")).await;
    }
    let grace_days = app.uninstall_grace_days;
    // The event goes with everything else, or ends here; what is written down of it comes last.
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
    tracing::info!("the bot was taken out of the workspace");
    Ok(EventOutcome::Uninstalled)
}

/// Slack names the users whose tokens are gone. The data waits for the uninstall that may follow.
pub(crate) async fn revoke_tokens(
    app: &ApiState,
    lease: &Lease,
    job: &Job,
    event_time: i64,
    bot_user_ids: &[UserId],
) -> Result<EventOutcome, JobError> {
    let Some(mut tx) = begin_locked(app, lease, &job.tenant_id).await? else {
        return Ok(EventOutcome::NotInstalled);
    };
    let installed = db::installations::find(&mut tx, &job.tenant_id).await?;
    let Some(installed) = installed else {
        return commit_outcome(
            tx,
            job,
            EventOutcome::Stale,
            Some("the workspace has no installation (any more)"),
        )
        .await;
    };
    if !bot_user_ids.contains(&installed.installation.bot_user_id) {
        return commit_outcome(tx, job, EventOutcome::Done, Some("the tokens of another bot user")).await;
    }
    if db::installations::is_stale(&mut tx, &job.tenant_id, event_time).await? {
        return commit_outcome(tx, job, EventOutcome::Stale, Some("the bot was installed again since")).await;
    }
    drop(tx);
    token_refresh::disable(app, &job.tenant_id, "tokens_revoked").await?;
    commit_outcome(begin_fenced(app, lease).await?, job, EventOutcome::Done, None).await
}

/// An org-wide install is in no workspace until an admin of the organisation adds it.
pub(crate) async fn set_team_access(
    app: &ApiState,
    lease: &Lease,
    job: &Job,
    granted: bool,
    team_ids: &[TeamId],
) -> Result<EventOutcome, JobError> {
    let tenant_id = &job.tenant_id;
    let Some(mut tx) = begin_locked(app, lease, tenant_id).await? else {
        return Ok(EventOutcome::NotInstalled);
    };
    let action = if granted {
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

/// Deletes the data of those whose grace is over; how many those were.
pub(crate) async fn delete_expired_tenants(app: &ApiState) -> Result<usize, JobError> {
    let mut tx = app.db.begin_cross_tenant().await?;
    let due: Vec<TenantId> = db::tenants::list_due(&mut tx).await?;
    let mut deletions = Vec::new();
    for tenant_id in &due {
        let reason = "the grace after the uninstall is over";
        deletions.push((tenant_id, db::tenants::delete(&mut tx, tenant_id, reason).await?));
    }
    for (tenant_id, deletion) in &deletions {
        db::tenants::write_receipt(&mut tx, tenant_id, deletion).await?;
        tracing::info!(tenant_id = %tenant_id, "everything of the workspace was deleted");
    }
    tx.commit().await?;
    Ok(due.len())
}

/// Ends an event that does not open, where that is because its tenant was deleted meanwhile.
pub(crate) async fn finish_orphan(
    app: &ApiState,
    lease: &Lease,
    job: &Job,
    error: DbError,
) -> Result<EventOutcome, JobError> {
    match begin_locked(app, lease, &job.tenant_id).await? {
        Some(_) => Err(error.into()),
        None => Ok(EventOutcome::NotInstalled),
    }
}

/// A transaction with the tenant locked. None where it was deleted while this event was being stored: then the event goes
/// the same way.
async fn begin_locked(app: &ApiState, lease: &Lease, tenant_id: &TenantId) -> Result<Option<Tx>, JobError> {
    let mut tx = begin_fenced(app, lease).await?;
    if db::tenants::lock(&mut tx, tenant_id).await? {
        return Ok(Some(tx));
    }
    db::tenants::delete_orphans(&mut tx, tenant_id).await?;
    tx.commit().await?;
    Ok(None)
}

async fn commit_outcome(
    mut tx: Tx,
    job: &Job,
    outcome: EventOutcome,
    reason: Option<&'static str>,
) -> Result<EventOutcome, JobError> {
    db::events::finish(&mut tx, &job.tenant_id, job.seq, outcome, reason).await?;
    tx.commit().await?;
    Ok(outcome)
}
