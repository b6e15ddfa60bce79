//! How a workspace leaves. The events may come in any order, late, or twice, and none may harm a newer install.

use db::audit_log::Action;
use db::threads::{Job, Lease};
use db::{DbError, Tx};
use models::{Outcome, TeamId, TenantId, UserId};
use serde_json::json;

use crate::app::App;
use crate::failure::Failure;
use crate::tokens;
use crate::work::fenced;

/// The token goes at once; the data at once too, or when the grace is over.
pub(crate) async fn uninstall(
    app: &App,
    lease: &Lease,
    job: &Job,
    event_time: i64,
) -> Result<Outcome, Failure> {
    let tenant_id = &job.tenant_id;
    let Some(mut tx) = begin(app, lease, tenant_id).await? else { return Ok(Outcome::NotInstalled) };
    if db::installations::is_stale(&mut tx, tenant_id, event_time).await? {
        return finish(tx, job, Outcome::Stale, Some("the bot was installed again since")).await;
    }
    let grace_days = app.uninstall_grace_days;
    // The event goes with everything else, or ends here; what is written down of it comes last.
    let deletion = match grace_days {
        0 => Some(db::tenants::delete(&mut tx, tenant_id, "uninstalled").await?),
        _ => {
            db::installations::delete(&mut tx, tenant_id).await?;
            db::tenants::delete_later(&mut tx, tenant_id, grace_days).await?;
            db::events::finish(&mut tx, tenant_id, job.seq, Outcome::Uninstalled, None).await?;
            None
        }
    };
    let detail = json!({ "event_id": job.event_id, "grace_days": grace_days });
    db::audit_log::insert(&mut tx, tenant_id, "slack", Action::Uninstalled, detail).await?;
    if let Some(deletion) = deletion {
        db::tenants::write_receipt(&mut tx, tenant_id, &deletion).await?;
    }
    tx.commit().await?;
    tracing::info!("the bot was taken out of the workspace");
    Ok(Outcome::Uninstalled)
}

/// Slack names the users whose tokens are gone. The data waits for the uninstall that may follow.
pub(crate) async fn revoke_tokens(
    app: &App,
    lease: &Lease,
    job: &Job,
    event_time: i64,
    bot_user_ids: &[UserId],
) -> Result<Outcome, Failure> {
    let Some(mut tx) = begin(app, lease, &job.tenant_id).await? else { return Ok(Outcome::NotInstalled) };
    let installed = db::installations::find(&mut tx, &job.tenant_id).await?;
    let Some(installed) = installed else {
        return finish(tx, job, Outcome::Stale, Some("the workspace has no installation (any more)")).await;
    };
    if !bot_user_ids.contains(&installed.installation.bot_user_id) {
        return finish(tx, job, Outcome::Done, Some("the tokens of another bot user")).await;
    }
    if db::installations::is_stale(&mut tx, &job.tenant_id, event_time).await? {
        return finish(tx, job, Outcome::Stale, Some("the bot was installed again since")).await;
    }
    drop(tx);
    tokens::disable(app, &job.tenant_id, "tokens_revoked").await?;
    finish(fenced(app, lease).await?, job, Outcome::Done, None).await
}

/// An org-wide install is in no workspace until an admin of the organisation adds it.
pub(crate) async fn set_team_access(
    app: &App,
    lease: &Lease,
    job: &Job,
    granted: bool,
    team_ids: &[TeamId],
) -> Result<Outcome, Failure> {
    let tenant_id = &job.tenant_id;
    let Some(mut tx) = begin(app, lease, tenant_id).await? else { return Ok(Outcome::NotInstalled) };
    let action = if granted {
        db::team_access::grant(&mut tx, tenant_id, team_ids).await?;
        Action::TeamAccessGranted
    } else {
        db::team_access::revoke(&mut tx, tenant_id, team_ids).await?;
        Action::TeamAccessRevoked
    };
    db::events::finish(&mut tx, tenant_id, job.seq, Outcome::Done, None).await?;
    let detail = json!({ "event_id": job.event_id, "team_ids": team_ids });
    db::audit_log::insert(&mut tx, tenant_id, "slack", action, detail).await?;
    tx.commit().await?;
    Ok(Outcome::Done)
}

/// Deletes the data of those whose grace is over; how many those were.
pub(crate) async fn delete_due(app: &App) -> Result<usize, Failure> {
    let mut tx = app.db.begin_for_all().await?;
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
pub(crate) async fn end_orphan(
    app: &App,
    lease: &Lease,
    job: &Job,
    error: DbError,
) -> Result<Outcome, Failure> {
    match begin(app, lease, &job.tenant_id).await? {
        Some(_) => Err(error.into()),
        None => Ok(Outcome::NotInstalled),
    }
}

/// A transaction with the tenant locked. None where it was deleted while this event was being stored: then the event goes
/// the same way.
async fn begin(app: &App, lease: &Lease, tenant_id: &TenantId) -> Result<Option<Tx>, Failure> {
    let mut tx = fenced(app, lease).await?;
    if db::tenants::lock(&mut tx, tenant_id).await? {
        return Ok(Some(tx));
    }
    db::tenants::delete_orphans(&mut tx, tenant_id).await?;
    tx.commit().await?;
    Ok(None)
}

async fn finish(
    mut tx: Tx,
    job: &Job,
    outcome: Outcome,
    reason: Option<&'static str>,
) -> Result<Outcome, Failure> {
    db::events::finish(&mut tx, &job.tenant_id, job.seq, outcome, reason).await?;
    tx.commit().await?;
    Ok(outcome)
}
