//! Re-encryption of one page of values from a retired key to the current one. Its rows are locked meanwhile,
//! so that no newer value is overwritten. Rows locked by others are left for the next pass, so a rotation
//! never waits and cannot deadlock.

use std::sync::Arc;

use crypto::DataKey;
use models::TenantId;
use secrecy::ExposeSecret;
use sqlx::AssertSqlSafe;

use super::encrypted_columns::{EncryptedColumn, key_id_bytes, list_retired};
use crate::{DbError, Tx, keys};

/// Position in a column.
#[derive(Clone, Debug)]
pub struct ReencryptCursor(Vec<String>);

impl ReencryptCursor {
    pub(super) fn parts(&self) -> &[String] {
        &self.0
    }
}

/// Result of re-encrypting a page.
#[derive(Clone, Debug, Default)]
pub struct ReencryptPage {
    /// Values now encrypted with the current key.
    pub reencrypted: u64,
    /// Values that could not be decrypted. They stay unchanged, and their key is kept.
    pub failed: u64,
    /// Start of the next page; `None` if this was the last.
    pub next: Option<ReencryptCursor>,
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    ctid: String,
    sealed: Vec<u8>,
}

/// Re-encrypts the next `size` values of a column with the tenant's current key, if they use a retired one.
pub async fn reencrypt(
    tx: &mut Tx,
    tenant_id: &TenantId,
    target: EncryptedColumn,
    after: Option<&ReencryptCursor>,
    size: i64,
) -> Result<ReencryptPage, DbError> {
    let key = match keys::current(tx, tenant_id).await {
        // The tenant was deleted meanwhile, with all its data.
        Err(DbError::NotInstalled) => return Ok(ReencryptPage::default()),
        key => key?,
    };
    tx.disable_statement_timeout().await?;
    let next = find_end(tx, tenant_id, target, after, size).await?;
    let rows = lock_page(tx, tenant_id, target, after, next.as_ref()).await?;
    let mut page = ReencryptPage { next, ..ReencryptPage::default() };
    let mut fresh = (Vec::new(), Vec::new());
    for row in rows {
        match open_and_seal(tx, tenant_id, target, &key, &row.sealed).await {
            Ok(sealed) => {
                fresh.0.push(row.ctid);
                fresh.1.push(sealed);
            }
            Err(DbError::Seal(_)) => page.failed += 1,
            Err(error) => return Err(error),
        }
    }
    page.reencrypted = store_page(tx, tenant_id, target, fresh).await?;
    Ok(page)
}

/// Returns the end of the page that starts after `after`; `None` if less than a page is left.
pub(super) async fn find_end(
    tx: &mut Tx,
    tenant_id: &TenantId,
    target: EncryptedColumn,
    after: Option<&ReencryptCursor>,
    size: i64,
) -> Result<Option<ReencryptCursor>, DbError> {
    let ColumnSql { names, texts, table, column, rows, after: after_cursor, .. } = ColumnSql::of(target);
    let sql = format!(
        "select array[{texts}] from {table} where {rows} and {column} is not null {}
         order by {names} limit 1 offset $2 - 1",
        if after.is_some() { after_cursor } else { "and $3::text[] is null".into() }
    );
    let at: Option<(Vec<String>,)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(tenant_id.as_str())
        .bind(size)
        .bind(after.map(ReencryptCursor::parts))
        .fetch_optional(tx)
        .await?;
    Ok(at.map(|(at,)| ReencryptCursor(at)))
}

/// Locks the rows of a page that need re-encryption. Both ends of the page are given so that an index is
/// used, even if few rows match.
async fn lock_page(
    tx: &mut Tx,
    tenant_id: &TenantId,
    target: EncryptedColumn,
    after: Option<&ReencryptCursor>,
    end: Option<&ReencryptCursor>,
) -> Result<Vec<SealedRow>, DbError> {
    let retired = list_retired(tx, tenant_id).await?;
    let ColumnSql { table, column, rows, after: after_cursor, up_to, .. } = ColumnSql::of(target);
    let sql = format!(
        "select ctid::text, {column} as sealed from {table}
         where {rows} and {column} is not null and substring({column} from 2 for 16) = any($2) {} {}
         for no key update skip locked",
        if after.is_some() { after_cursor } else { "and $3::text[] is null".into() },
        if end.is_some() { up_to } else { "and $4::text[] is null".into() },
    );
    Ok(sqlx::query_as(AssertSqlSafe(sql))
        .bind(tenant_id.as_str())
        .bind(key_id_bytes(&retired))
        .bind(after.map(ReencryptCursor::parts))
        .bind(end.map(ReencryptCursor::parts))
        .fetch_all(tx)
        .await?)
}

/// Fragments of the statements on a column.
pub(super) struct ColumnSql {
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    pub(super) rows: &'static str,
    /// Order of the rows, as columns and as text.
    pub(super) names: String,
    pub(super) texts: String,
    /// Conditions "after the cursor `$3`" and "not after `$4`".
    pub(super) after: String,
    up_to: String,
}

impl ColumnSql {
    pub(super) fn of(target: EncryptedColumn) -> Self {
        let order = target.table.order;
        let join = |parts: Vec<String>| parts.join(", ");
        let names = join(order.iter().map(|(name, _)| (*name).to_owned()).collect());
        let cursor = |parameter: u8| {
            let parts = order.iter().zip(1..);
            join(parts.map(|((_, of), n)| format!("(${parameter}::text[])[{n}]::{of}")).collect())
        };
        Self {
            table: target.column.table,
            column: target.column.column,
            rows: target.table.rows,
            texts: join(order.iter().map(|(name, _)| format!("{name}::text")).collect()),
            after: format!("and ({names}) > ({})", cursor(3)),
            up_to: format!("and ({names}) <= ({})", cursor(4)),
            names,
        }
    }
}

async fn open_and_seal(
    tx: &mut Tx,
    tenant_id: &TenantId,
    target: EncryptedColumn,
    key: &Arc<DataKey>,
    sealed: &[u8],
) -> Result<Vec<u8>, DbError> {
    let text = keys::open(tx, tenant_id, target.column, sealed).await?;
    Ok(key.seal(target.column.binding(tenant_id), text.expose_secret())?)
}

/// Stores the values. The rows are locked, so each is still at its `ctid`.
async fn store_page(
    tx: &mut Tx,
    tenant_id: &TenantId,
    target: EncryptedColumn,
    (ctids, sealed): (Vec<String>, Vec<Vec<u8>>),
) -> Result<u64, DbError> {
    if ctids.is_empty() {
        return Ok(0);
    }
    let (table, column) = (target.column.table, target.column.column);
    let sql = format!(
        "update {table} t set {column} = fresh.sealed from unnest($2::text[], $3::bytea[]) as fresh (place, sealed)
         where t.tenant_id = $1 and t.ctid = fresh.place::tid"
    );
    let stored =
        sqlx::query(AssertSqlSafe(sql)).bind(tenant_id.as_str()).bind(ctids).bind(sealed).execute(tx).await?;
    Ok(stored.rows_affected())
}
