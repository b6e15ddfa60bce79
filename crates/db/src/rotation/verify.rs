//! Check that everything encrypted can be decrypted, for a restored backup.

use models::TenantId;
use sqlx::AssertSqlSafe;

use super::encrypted_columns::EncryptedColumn;
use super::reencrypt::{ColumnSql, ReencryptCursor, find_end};
use crate::{DbError, Tx, keys};

/// Result of checking a page of a column.
#[derive(Clone, Debug, Default)]
pub struct DecryptReport {
    /// Values that could be decrypted.
    pub opened: u64,
    /// Rows of those that could not, identified by their order columns.
    pub failed: Vec<String>,
    /// Start of the next page; `None` if this was the last.
    pub next: Option<ReencryptCursor>,
}

/// Decrypts the next `size` values of a column and discards the result.
pub async fn verify(
    tx: &mut Tx,
    tenant_id: &TenantId,
    target: EncryptedColumn,
    after: Option<&ReencryptCursor>,
    size: i64,
) -> Result<DecryptReport, DbError> {
    tx.disable_statement_timeout().await?;
    let next = find_end(tx, tenant_id, target, after, size).await?;
    let ColumnSql { table, column, rows, names, texts, after: after_cursor, .. } = ColumnSql::of(target);
    let sql = format!(
        "select array_to_string(array[{texts}], ' '), {column} from {table}
         where {rows} and {column} is not null {} order by {names} limit $2",
        if after.is_some() { after_cursor } else { "and $3::text[] is null".into() }
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

/// Lists the tenants that have encrypted data.
pub async fn list_tenants(tx: &mut Tx) -> Result<Vec<TenantId>, DbError> {
    let tenants = sqlx::query_scalar!("select distinct tenant_id from encryption_keys order by tenant_id");
    Ok(tenants.fetch_all(tx).await?.into_iter().map(TenantId::from).collect())
}
