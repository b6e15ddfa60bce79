//! How the audit log leaves the database: into the archive first, and out of the table once it is old.

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

/// How old a tenant's first entry outside of the archive gets, in hours: so a busy one has an object a day, and not one for
/// each entry. Nothing that is due to be removed is younger.
const MIN_ARCHIVE_AGE_HOURS: i32 = 24;

/// Archives and removes what is due, until `end`. Replicas need not agree: what two do at once is done once.
pub(crate) async fn run_audit_archive_loop(
    db: Db,
    days: Option<i32>,
    bucket: Option<StorageBucket>,
    end: CancellationToken,
) {
    let mut ticks = interval(AUDIT_ARCHIVE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let working = async {
        loop {
            ticks.tick().await;
            let done = async {
                if let Some(bucket) = &bucket {
                    archive_due(&db, bucket).await?;
                }
                if let Some(days) = days {
                    purge_due(&db, days, bucket.is_some()).await?;
                }
                Ok::<_, DbError>(())
            };
            if let Err(error) = done.await {
                tracing::warn!(error = %error, "the audit log was not archived and shortened to the end");
            }
        }
    };
    tokio::select! {
        () = working => {}
        () = end.cancelled() => {}
    }
}

async fn archive_due(db: &Db, bucket: &StorageBucket) -> Result<(), DbError> {
    let due =
        archive_log::list_unarchived(&mut db.begin_cross_tenant().await?, MIN_ARCHIVE_AGE_HOURS).await?;
    for tenant in due {
        let tenant_id = &tenant.tenant_id;
        match archive_tenant(db, bucket, &tenant, |_| ()).await {
            Ok(entries) => {
                tracing::info!(tenant_id = %tenant_id, "{entries} entries of the audit log were archived")
            }
            Err(ArchiveError::Db(error)) => return Err(error),
            Err(error) => {
                tracing::error!(tenant_id = %tenant_id, error = %error, "the audit log was not archived; nothing is lost");
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
        purge(db, &tenant_id, days, archived_only).await?;
    }
    Ok(())
}

/// Whether another replica has not been faster.
async fn is_due(db: &Db, tenant_id: &TenantId, days: i32) -> Result<bool, DbError> {
    Ok(archive_log::list_due(&mut db.begin_cross_tenant().await?, days).await?.contains(tenant_id))
}

async fn purge(db: &Db, tenant_id: &TenantId, days: i32, archived_only: bool) -> Result<(), DbError> {
    let mut removed = 0;
    let waits_for_archive = loop {
        let mut tx = db.begin_cross_tenant().await?;
        let retired = archive_log::purge(&mut tx, tenant_id, days, archived_only).await?;
        tx.commit().await?;
        if retired.removed == 0 {
            break retired.is_waiting_for_archive;
        }
        removed += retired.removed;
    };
    if removed > 0 {
        tracing::info!(tenant_id = %tenant_id, "{removed} entries of the audit log were older than {days} days and removed");
    }
    if !waits_for_archive && is_due(db, tenant_id, days).await? {
        tracing::warn!(tenant_id = %tenant_id, "old entries of the audit log stay; `web audit verify {tenant_id}` tells why");
    }
    Ok(())
}
