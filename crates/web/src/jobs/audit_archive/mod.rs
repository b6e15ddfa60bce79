//! Archiving of the audit log, and removal of old entries from the database.

mod archive;
mod segment;
mod settings;

use std::time::Duration;

use db::audit_archive as archive_log;
use db::{Db, DbError};
use models::TenantId;
use storage::StorageBucket;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub(crate) use archive::{ArchiveError, archive_tenant};
pub(crate) use segment::{SegmentRange, verify_segment};
pub(crate) use settings::{AuditSettings, read_archive};

const AUDIT_ARCHIVE_INTERVAL: Duration = Duration::from_secs(60);

/// Age of a tenant's oldest unarchived entry, in hours, from which its entries are archived.
///
/// A busy tenant thus gets one object a day, not one per entry. Entries that are due for removal are always
/// older.
const MIN_ARCHIVE_AGE_HOURS: i32 = 24;

/// Archives and removes due entries until `shutdown`. Replicas may run this at the same time: nothing is done
/// twice.
pub(crate) async fn run_audit_archive_loop(
    db: Db,
    days: Option<i32>,
    bucket: Option<StorageBucket>,
    shutdown: CancellationToken,
) {
    let mut ticks = interval(AUDIT_ARCHIVE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let working = async {
        loop {
            ticks.tick().await;
            let pass = async {
                if let Some(bucket) = &bucket {
                    archive_due(&db, bucket).await?;
                }
                if let Some(days) = days {
                    purge_due(&db, days, bucket.is_some()).await?;
                }
                Ok::<_, DbError>(())
            };
            if let Err(error) = pass.await {
                tracing::warn!(error = %error, "audit log maintenance failed");
            }
        }
    };
    tokio::select! {
        () = working => {}
        () = shutdown.cancelled() => {}
    }
}

async fn archive_due(db: &Db, bucket: &StorageBucket) -> Result<(), DbError> {
    let due =
        archive_log::list_unarchived(&mut db.begin_cross_tenant().await?, MIN_ARCHIVE_AGE_HOURS).await?;
    for tenant in due {
        let tenant_id = &tenant.tenant_id;
        match archive_tenant(db, bucket, &tenant, |_| ()).await {
            Ok(entries) => {
                tracing::info!(tenant_id = %tenant_id, "audit log archived: {entries} entries")
            }
            Err(ArchiveError::Db(error)) if !error.is_tenant_specific() => return Err(error),
            Err(error) => {
                tracing::error!(%tenant_id, error = %error, "audit log archiving failed, nothing is lost");
                if matches!(&error, ArchiveError::Storage(error) if error.is_bucket_wide()) {
                    break;
                }
            }
        }
    }
    Ok(())
}

async fn purge_due(db: &Db, days: i32, archived_only: bool) -> Result<(), DbError> {
    let due = archive_log::list_due(&mut db.begin_cross_tenant().await?, days).await?;
    for tenant_id in due {
        match purge(db, &tenant_id, days, archived_only).await {
            Err(error) if error.is_tenant_specific() => {
                tracing::error!(%tenant_id, error = %error, "audit log not purged; the other workspaces go on");
            }
            purged => purged?,
        }
    }
    Ok(())
}

/// Returns true if old entries of the tenant are still there, and no other replica has removed them
/// meanwhile.
async fn is_due(db: &Db, tenant_id: &TenantId, days: i32) -> Result<bool, DbError> {
    Ok(archive_log::list_due(&mut db.begin_cross_tenant().await?, days).await?.contains(tenant_id))
}

async fn purge(db: &Db, tenant_id: &TenantId, days: i32, archived_only: bool) -> Result<(), DbError> {
    let mut removed = 0;
    let waits_for_archive = loop {
        let mut tx = db.begin_cross_tenant().await?;
        let purged = archive_log::purge(&mut tx, tenant_id, days, archived_only).await?;
        tx.commit().await?;
        if purged.removed == 0 {
            break purged.is_waiting_for_archive;
        }
        removed += purged.removed;
    };
    if removed > 0 {
        tracing::info!(tenant_id = %tenant_id, "audit log purged: {removed} entries older than {days} days");
    }
    if !waits_for_archive && is_due(db, tenant_id, days).await? {
        tracing::warn!(
            %tenant_id,
            "old audit log entries were not purged; `web audit verify {tenant_id}` shows the reason"
        );
    }
    Ok(())
}
