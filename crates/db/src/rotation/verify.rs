//! Whether everything that is sealed opens: what a backup that was restored has to show.

use models::TenantId;
use sqlx::AssertSqlSafe;

use super::reseal::{Cursor, Sql, find_end};
use super::sealed::Place;
use crate::{DbError, Tx, keys};

/// What was found on a page of a place.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// Values that open.
    pub opened: u64,
    /// The rows of those that do not, by what they are ordered by.
    pub refused: Vec<String>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Cursor>,
}

/// Opens the next values of a place, so many, and keeps nothing of them.
pub async fn verify(
    tx: &mut Tx,
    tenant_id: &TenantId,
    place: Place,
    after: Option<&Cursor>,
    size: i64,
) -> Result<Opened, DbError> {
    tx.unhurried().await?;
    let next = find_end(tx, tenant_id, place, after, size).await?;
    let Sql { table, column, rows, names, texts, behind, .. } = Sql::of(place);
    let sql = format!(
        "select array_to_string(array[{texts}], ' '), {column} from {table}
         where {rows} and {column} is not null {} order by {names} limit $2",
        if after.is_some() { behind } else { "and $3::text[] is null".into() }
    );
    let values: Vec<(String, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(tenant_id.as_str())
        .bind(size)
        .bind(after.map(Cursor::parts))
        .fetch_all(&mut *tx)
        .await?;
    let mut found = Opened { next, ..Opened::default() };
    for (row, sealed) in values {
        match keys::open(tx, tenant_id, place.column, &sealed).await {
            Ok(_) => found.opened += 1,
            Err(DbError::Seal(_) | DbError::MasterKeys(_)) => found.refused.push(row),
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
