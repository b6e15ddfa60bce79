//! A page of what is sealed with a retired key is sealed with the current one. Its rows are locked while that is done, so
//! that nothing newer is overwritten; rows that somebody else has locked are left for the next walk, so that a rotation
//! waits for nobody and is in nobody's deadlock.

use std::sync::Arc;

use crypto::DataKey;
use models::TenantId;
use secrecy::ExposeSecret;
use sqlx::AssertSqlSafe;

use super::encrypted_columns::{EncryptedColumn, key_id_bytes, list_retired};
use crate::{DbError, Tx, keys};

/// How far a walk over a place has come.
#[derive(Clone, Debug)]
pub struct ReencryptCursor(Vec<String>);

impl ReencryptCursor {
    pub(super) fn parts(&self) -> &[String] {
        &self.0
    }
}

/// What came of a page.
#[derive(Clone, Debug, Default)]
pub struct ReencryptPage {
    /// Values that are sealed with the current key now.
    pub reencrypted: u64,
    /// Values that do not open; they stay as they are, and their key with them.
    pub failed: u64,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<ReencryptCursor>,
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    ctid: String,
    sealed: Vec<u8>,
}

/// Looks at the next values of a place, so many, and seals with the tenant's current key what a retired one sealed.
pub async fn reencrypt(
    tx: &mut Tx,
    tenant_id: &TenantId,
    target: EncryptedColumn,
    after: Option<&ReencryptCursor>,
    size: i64,
) -> Result<ReencryptPage, DbError> {
    let key = match keys::current(tx, tenant_id).await {
        // It was deleted meanwhile, and everything with it.
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

/// Where the page ends that begins behind `after`: `None` where what is left is less than a page.
pub(super) async fn find_end(
    tx: &mut Tx,
    tenant_id: &TenantId,
    target: EncryptedColumn,
    after: Option<&ReencryptCursor>,
    size: i64,
) -> Result<Option<ReencryptCursor>, DbError> {
    let ColumnSql { names, texts, table, column, rows, after: behind, .. } = ColumnSql::of(target);
    let sql = format!(
        "select array[{texts}] from {table} where {rows} and {column} is not null {}
         order by {names} limit 1 offset $2 - 1",
        if after.is_some() { behind } else { "and $3::text[] is null".into() }
    );
    let at: Option<(Vec<String>,)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(tenant_id.as_str())
        .bind(size)
        .bind(after.map(ReencryptCursor::parts))
        .fetch_optional(tx)
        .await?;
    Ok(at.map(|(at,)| ReencryptCursor(at)))
}

/// Locks what is to be resealed of a page. Both its ends are given, so that it is found by an index, however little there
/// is to do in it.
async fn lock_page(
    tx: &mut Tx,
    tenant_id: &TenantId,
    target: EncryptedColumn,
    after: Option<&ReencryptCursor>,
    end: Option<&ReencryptCursor>,
) -> Result<Vec<SealedRow>, DbError> {
    let retired = list_retired(tx, tenant_id).await?;
    let ColumnSql { table, column, rows, after: behind, up_to, .. } = ColumnSql::of(target);
    let sql = format!(
        "select ctid::text, {column} as sealed from {table}
         where {rows} and {column} is not null and substring({column} from 2 for 16) = any($2) {} {}
         for no key update skip locked",
        if after.is_some() { behind } else { "and $3::text[] is null".into() },
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

/// The parts of the statements over a place.
pub(super) struct ColumnSql {
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    pub(super) rows: &'static str,
    /// What the rows are ordered by, as columns and as texts.
    pub(super) names: String,
    pub(super) texts: String,
    /// Behind the cursor `$3`, and not behind `$4`.
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

/// The rows are locked, so that each is still where it was found.
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
