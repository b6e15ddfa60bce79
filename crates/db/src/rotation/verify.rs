//! Whether everything that is sealed opens: what a backup that was restored has to show.

use models::TenantId;
use sqlx::AssertSqlSafe;

use super::encrypted_columns::EncryptedColumn;
use super::reencrypt::{ColumnSql, ReencryptCursor, find_end};
use crate::{DbError, Tx, keys};

/// What was found on a page of a place.
#[derive(Clone, Debug, Default)]
pub struct DecryptReport {
    /// Values that open.
    pub opened: u64,
    /// The rows of those that do not, by what they are ordered by.
    pub failed: Vec<String>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<ReencryptCursor>,
}

/// Opens the next values of a place, so many, and keeps nothing of them.
pub async fn verify(
    tx: &mut Tx,
    tenant_id: &TenantId,
    target: EncryptedColumn,
    after: Option<&ReencryptCursor>,
    size: i64,
) -> Result<DecryptReport, DbError> {
    tx.disable_statement_timeout().await?;
    let next = find_end(tx, tenant_id, target, after, size).await?;
    let ColumnSql { table, column, rows, names, texts, after: behind, .. } = ColumnSql::of(target);
    let sql = format!(
        "select array_to_string(array[{texts}], ' '), {column} from {table}
         where {rows} and {column} is not null {} order by {names} limit $2",
        if after.is_some() { behind } else { "and $3::text[] is null".into() }
    );
    let values: Vec<(String, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(tenant_id.as_str())
        .bind(size)
        .bind(after.map(ReencryptCursor::parts))
        .fetch_all(&mut *tx)
        .await?;
    let mut found = DecryptReport { next, ..DecryptReport::default() };
    for (row, sealed) in values {
        match keys::open(tx, tenant_id, target.column, &sealed).await {
            Ok(_) => found.opened += 1,
            Err(DbError::Seal(_) | DbError::MasterKeys(_)) => found.failed.push(row),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The tenants that have something sealed.
pub async fn list_tenants(tx: &mut Tx) -> Result<Vec<TenantId>, DbError> {
    let tenants = sqlx::query_scalar!("select distinct tenant_id from encryption_keys order by tenant_id");
    Ok(tenants.fetch_all(tx).await?.into_iter().map(TenantId::from).collect())
}
