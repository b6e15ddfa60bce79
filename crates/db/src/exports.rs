//! The table `exports`: downloads of everything of a workspace, and how far each is. Whichever replica serves one, every
//! other can tell.

use chrono::{DateTime, Utc};
use models::{TenantId, UserId};
use uuid::Uuid;

use crate::{DbError, Tx};

/// A download.
#[derive(Clone, Debug)]
pub struct DataExport {
    /// Who took it.
    pub started_by: String,
    /// When.
    pub started_at: DateTime<Utc>,
    /// Rows that there were at the start.
    pub rows_total: i64,
    /// Rows sent so far.
    pub rows_done: i64,
    /// When it was complete.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it broke off, if it did.
    pub failed: Option<String>,
    /// Neither complete nor broken off, and rows were sent of late.
    pub is_active: bool,
}

/// Notes that a download begins.
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

/// Notes how far a download is.
///
/// # Errors
/// [`DbError::NotInstalled`]: everything of the tenant was deleted meanwhile.
pub async fn update_progress(
    tx: &mut Tx,
    tenant_id: &TenantId,
    export_id: Uuid,
    rows_done: i64,
) -> Result<(), DbError> {
    let known = sqlx::query!(
        "update exports set rows_done = $3, moved_at = now() where tenant_id = $1 and export_id = $2",
        tenant_id.as_str(),
        export_id,
        rows_done,
    )
    .execute(tx)
    .await?;
    if known.rows_affected() == 0 { Err(DbError::NotInstalled) } else { Ok(()) }
}

/// Notes that a download is complete, or why it is not.
pub async fn finish(
    tx: &mut Tx,
    tenant_id: &TenantId,
    export_id: Uuid,
    failed: Option<&str>,
) -> Result<(), DbError> {
    sqlx::query!(
        "update exports set failed = $3, finished_at = case when $3::text is null then now() end
         where tenant_id = $1 and export_id = $2",
        tenant_id.as_str(),
        export_id,
        failed,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The newest downloads.
pub async fn list(tx: &mut Tx, tenant_id: &TenantId, limit: i64) -> Result<Vec<DataExport>, DbError> {
    Ok(sqlx::query_as!(
        DataExport,
        r#"select started_by, started_at, rows_total, rows_done, finished_at, failed,
                  (finished_at is null and failed is null and moved_at > now() - interval '1 minute')
                      as "is_active!"
           from exports where tenant_id = $1 order by started_at desc limit $2"#,
        tenant_id.as_str(),
        limit,
    )
    .fetch_all(tx)
    .await?)
}
