//! The table `exports`: downloads of all data of a workspace, and their progress. Any replica can show the
//! progress of a download that another one serves.

use chrono::{DateTime, Utc};
use models::{TenantId, UserId};
use uuid::Uuid;

use crate::{DbError, Tx};

/// A download.
#[derive(Clone, Debug)]
pub struct DataExport {
    /// User who started it.
    pub started_by: String,
    /// Start time.
    pub started_at: DateTime<Utc>,
    /// Number of rows at the start.
    pub rows_total: i64,
    /// Rows sent so far.
    pub rows_done: i64,
    /// Time of completion.
    pub finished_at: Option<DateTime<Utc>>,
    /// Reason why it failed, if it did.
    pub failure_reason: Option<String>,
    /// True if it is unfinished and has sent rows recently.
    pub is_active: bool,
}

/// Records the start of a download.
pub async fn insert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    started_by: &UserId,
    rows_total: i64,
) -> Result<Uuid, DbError> {
    let export_id = Uuid::now_v7();
    sqlx::query!(
        "insert into exports (export_id, tenant_id, started_by, rows_total) values ($1, $2, $3, $4)",
        export_id,
        tenant_id.as_str(),
        started_by.as_str(),
        rows_total,
    )
    .execute(tx)
    .await?;
    Ok(export_id)
}

/// Records the progress of a download.
///
/// # Errors
/// [`DbError::NotInstalled`]: the tenant's data was deleted meanwhile.
pub async fn update_progress(
    tx: &mut Tx,
    tenant_id: &TenantId,
    export_id: Uuid,
    rows_done: i64,
) -> Result<(), DbError> {
    let updated = sqlx::query!(
        "update exports set rows_done = $3, progress_at = now() where tenant_id = $1 and export_id = $2",
        tenant_id.as_str(),
        export_id,
        rows_done,
    )
    .execute(tx)
    .await?;
    if updated.rows_affected() == 0 { Err(DbError::NotInstalled) } else { Ok(()) }
}

/// Records that a download is complete, or the reason why it failed.
pub async fn finish(
    tx: &mut Tx,
    tenant_id: &TenantId,
    export_id: Uuid,
    failure_reason: Option<&str>,
) -> Result<(), DbError> {
    sqlx::query!(
        "update exports set failure_reason = $3, finished_at = case when $3::text is null then now() end
         where tenant_id = $1 and export_id = $2",
        tenant_id.as_str(),
        export_id,
        failure_reason,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lists the newest downloads.
pub async fn list(tx: &mut Tx, tenant_id: &TenantId, limit: i64) -> Result<Vec<DataExport>, DbError> {
    Ok(sqlx::query_as!(
        DataExport,
        r#"select started_by, started_at, rows_total, rows_done, finished_at, failure_reason,
                  (finished_at is null and failure_reason is null and progress_at > now() - interval '1 minute')
                      as "is_active!"
           from exports where tenant_id = $1 order by started_at desc limit $2"#,
        tenant_id.as_str(),
        limit,
    )
    .fetch_all(tx)
    .await?)
}
