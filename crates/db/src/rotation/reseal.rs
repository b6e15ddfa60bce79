//! A page of what is sealed with a retired key is sealed with the current one. Its rows are locked while that is done, so
//! that nothing newer is overwritten; rows that somebody else has locked are left for the next walk, so that a rotation
//! waits for nobody and is in nobody's deadlock.

use std::sync::Arc;

use crypto::DataKey;
use models::TenantId;
use secrecy::ExposeSecret;
use sqlx::AssertSqlSafe;

use super::sealed::{Place, bytes_of, list_retired};
use crate::{DbError, Tx, keys};

/// How far a walk over a place has come.
#[derive(Clone, Debug)]
pub struct Cursor(Vec<String>);

/// What came of a page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Values that are sealed with the current key now.
    pub resealed: u64,
    /// Values that do not open; they stay as they are, and their key with them.
    pub refused: u64,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Cursor>,
}

#[derive(sqlx::FromRow)]
struct Row {
    ctid: String,
    at: Vec<String>,
    sealed: Vec<u8>,
}

/// Seals the next values of a place with the tenant's current key, at most so many.
pub async fn reseal(
    tx: &mut Tx,
    tenant_id: &TenantId,
    place: Place,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Page, DbError> {
    let key = match keys::current(tx, tenant_id).await {
        // It was deleted meanwhile, and everything with it.
        Err(DbError::NotInstalled) => return Ok(Page::default()),
        key => key?,
    };
    let rows = lock_page(tx, tenant_id, place, after, limit).await?;
    let is_last = i64::try_from(rows.len()).is_ok_and(|count| count < limit);
    let mut page = Page::default();
    page.next = rows.last().filter(|_| !is_last).map(|row| Cursor(row.at.clone()));
    let mut fresh = (Vec::new(), Vec::new());
    for row in rows {
        match open_and_seal(tx, tenant_id, place, &key, &row.sealed).await {
            Ok(sealed) => {
                fresh.0.push(row.ctid);
                fresh.1.push(sealed);
            }
            Err(DbError::Seal(_)) => page.refused += 1,
            Err(error) => return Err(error),
        }
    }
    page.resealed = store(tx, tenant_id, place, fresh).await?;
    Ok(page)
}

async fn lock_page(
    tx: &mut Tx,
    tenant_id: &TenantId,
    place: Place,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Row>, DbError> {
    let retired = list_retired(tx, tenant_id).await?;
    // Behind a page it may be a long way through what is resealed already.
    tx.unhurried().await?;
    let order = place.table.order;
    let names = order.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let texts = order.iter().map(|(name, _)| format!("{name}::text")).collect::<Vec<_>>().join(", ");
    let places = order.iter().zip(1..).map(|((_, of), n)| format!("($4::text[])[{n}]::{of}"));
    let begin = match after {
        Some(_) => format!("and ({names}) > ({})", places.collect::<Vec<_>>().join(", ")),
        None => "and $4::text[] is null".to_owned(),
    };
    let (table, column, rows) = (place.column.table, place.column.column, place.table.rows);
    let sql = format!(
        "select ctid::text, array[{texts}] as at, {column} as sealed from {table}
         where {rows} and substring({column} from 2 for 16) = any($2) {begin}
         order by {names} limit $3 for no key update skip locked"
    );
    Ok(sqlx::query_as(AssertSqlSafe(sql))
        .bind(tenant_id.as_str())
        .bind(bytes_of(&retired))
        .bind(limit)
        .bind(after.map(|cursor| &cursor.0))
        .fetch_all(tx)
        .await?)
}

async fn open_and_seal(
    tx: &mut Tx,
    tenant_id: &TenantId,
    place: Place,
    key: &Arc<DataKey>,
    sealed: &[u8],
) -> Result<Vec<u8>, DbError> {
    let text = keys::open(tx, tenant_id, place.column, sealed).await?;
    Ok(key.seal(place.column.of(tenant_id), text.expose_secret())?)
}

/// The rows are locked, so that each is still where it was found.
async fn store(
    tx: &mut Tx,
    tenant_id: &TenantId,
    place: Place,
    (ctids, sealed): (Vec<String>, Vec<Vec<u8>>),
) -> Result<u64, DbError> {
    let (table, column) = (place.column.table, place.column.column);
    let sql = format!(
        "update {table} t set {column} = fresh.sealed from unnest($2::text[], $3::bytea[]) as fresh (place, sealed)
         where t.tenant_id = $1 and t.ctid = fresh.place::tid"
    );
    let stored =
        sqlx::query(AssertSqlSafe(sql)).bind(tenant_id.as_str()).bind(ctids).bind(sealed).execute(tx).await?;
    Ok(stored.rows_affected())
}
