//! How the audit log leaves the database: into the archive first, and out of the table once it is old.

mod archive;
mod piece;
mod settings;

use std::time::Duration;

use db::audit_archive as kept;
use db::{Db, DbError};
use models::TenantId;
use storage::Bucket;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub(crate) use archive::{ArchiveError, archive};
pub(crate) use piece::{Span, check};
pub(crate) use settings::{AuditSettings, read_archive};

const INTERVAL: Duration = Duration::from_secs(60);

/// How old a tenant's first entry outside of the archive gets, in hours: so a busy one has an object a day, and not one for
/// each entry. Nothing that is due to be removed is younger.
const GATHERED_FOR: i32 = 24;

/// Archives and removes what is due, until `end`. Replicas need not agree: what two do at once is done once.
pub(crate) async fn keep(db: Db, days: Option<i32>, bucket: Option<Bucket>, end: CancellationToken) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let working = async {
        loop {
            ticks.tick().await;
            let done = async {
                if let Some(bucket) = &bucket {
                    archive_due(&db, bucket).await?;
                }
                if let Some(days) = days {
                    retire_due(&db, days, bucket.is_some()).await?;
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

async fn archive_due(db: &Db, bucket: &Bucket) -> Result<(), DbError> {
    let due = kept::list_unarchived(&mut db.begin_for_all().await?, GATHERED_FOR).await?;
    for tenant in due {
        let tenant_id = &tenant.tenant_id;
        match archive(db, bucket, &tenant, |_| ()).await {
            Ok(entries) => {
                tracing::info!(tenant_id = %tenant_id, "{entries} entries of the audit log were archived")
            }
            Err(ArchiveError::Db(error)) => return Err(error),
            Err(error) => {
                tracing::error!(tenant_id = %tenant_id, error = %error, "the audit log was not archived; nothing is lost");
                if matches!(&error, ArchiveError::Storage(error) if error.concerns_all()) {
                    break;
                }
            }
        }
    }
    Ok(())
}

async fn retire_due(db: &Db, days: i32, archived_only: bool) -> Result<(), DbError> {
    let due = kept::list_due(&mut db.begin_for_all().await?, days).await?;
    for tenant_id in due {
        retire(db, &tenant_id, days, archived_only).await?;
    }
    Ok(())
}

/// Whether another replica has not been faster.
async fn is_due(db: &Db, tenant_id: &TenantId, days: i32) -> Result<bool, DbError> {
    Ok(kept::list_due(&mut db.begin_for_all().await?, days).await?.contains(tenant_id))
}

async fn retire(db: &Db, tenant_id: &TenantId, days: i32, archived_only: bool) -> Result<(), DbError> {
    let mut removed = 0;
    let waits_for_archive = loop {
        let mut tx = db.begin_for_all().await?;
        let retired = kept::retire(&mut tx, tenant_id, days, archived_only).await?;
        tx.commit().await?;
        if retired.removed == 0 {
            break retired.waits_for_archive;
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
