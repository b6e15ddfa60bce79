//! How entries leave the audit log: into the archive first, where there is one, and out of the table once they are old; see
//! `migrations/0029_audit_retention.sql`.

use chrono::{DateTime, Utc};
use models::TenantId;

use crate::{DbError, Tx};

/// Entries that are removed in one transaction, while nobody can write an entry of that tenant.
const PURGE_BATCH: i32 = 500;

/// A tenant with entries that are not archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnarchivedTenant {
    /// The tenant.
    pub tenant_id: TenantId,
    /// How many.
    pub entries: i64,
}

/// The tenants whose oldest entry outside of the archive is older than so many hours.
pub async fn list_unarchived(tx: &mut Tx, hours: i32) -> Result<Vec<UnarchivedTenant>, DbError> {
    Ok(sqlx::query_as!(
        UnarchivedTenant,
        r#"select c.tenant_id, c.entry_count - kept.place as "entries!"
           from audit_chains c cross join lateral (select greatest(c.archived_place, c.retired_place)) as kept (place)
           where c.entry_count > kept.place
             and (select created_at from audit_log l where l.tenant_id = c.tenant_id and l.place > kept.place
                  order by l.place limit 1) <= now() - make_interval(hours => $1)
           order by 1"#,
        hours,
    )
    .fetch_all(tx)
    .await?)
}

/// What one object of the archive holds: entries of a tenant, one behind the other.
#[derive(Clone, Debug)]
pub struct ArchiveSegment {
    /// Whose.
    pub tenant_id: TenantId,
    /// The place of the first one.
    pub first_place: i64,
    /// The place of the last one.
    pub last_place: i64,
    /// The digest that the first one's is made over; empty where none stands before it.
    pub previous_hash: Vec<u8>,
    /// As they stand in the table, which may not be all, nor as they were written.
    pub entries: Vec<ChainedEntry>,
}

/// An entry with its digest.
#[derive(Clone, Debug)]
pub struct ChainedEntry {
    /// Where it stands in the tenant's chain, from 1.
    pub place: i64,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what, as Postgres writes JSON: the digest is made over this text.
    pub detail: String,
    /// Over all that, and the one before.
    pub hash: Vec<u8>,
}

/// The next piece of at most so many entries; the same one until [`commit_segment`] is told of it, so this is committed before
/// it is written. `None` where all is archived.
pub async fn begin_segment(
    tx: &mut Tx,
    tenant_id: &TenantId,
    limit: i32,
) -> Result<Option<ArchiveSegment>, DbError> {
    let span = sqlx::query!(
        "select first_place, last_place from begin_audit_piece($1, $2)",
        tenant_id.as_str(),
        limit
    )
    .fetch_one(&mut *tx)
    .await?;
    let (Some(first_place), Some(last_place)) = (span.first_place, span.last_place) else { return Ok(None) };
    let previous_hash = find_hash(tx, tenant_id, first_place - 1).await?.unwrap_or_default();
    let entries = sqlx::query_as!(
        ChainedEntry,
        r#"select place, created_at, actor, action, detail::text as "detail!", hash from audit_log
           where tenant_id = $1 and place between $2 and $3 order by place, entry_id"#,
        tenant_id.as_str(),
        first_place,
        last_place,
    )
    .fetch_all(tx)
    .await?;
    Ok(Some(ArchiveSegment { tenant_id: tenant_id.clone(), first_place, last_place, previous_hash, entries }))
}

/// Notes that the piece which ends there is in the archive.
pub async fn commit_segment(tx: &mut Tx, tenant_id: &TenantId, last_place: i64) -> Result<(), DbError> {
    sqlx::query!("select end_audit_piece($1, $2)", tenant_id.as_str(), last_place).fetch_one(tx).await?;
    Ok(())
}

/// The digest of the entry at a place, or of the one that was removed last. None where neither stands there.
pub async fn find_hash(tx: &mut Tx, tenant_id: &TenantId, place: i64) -> Result<Option<Vec<u8>>, DbError> {
    Ok(sqlx::query_scalar!(
        r#"(select hash as "hash!" from audit_log where tenant_id = $1 and place = $2 order by entry_id limit 1)
           union all
           select retired_hash from audit_chains where tenant_id = $1 and retired_place = $2
           limit 1"#,
        tenant_id.as_str(),
        place,
    )
    .fetch_optional(tx)
    .await?)
}

/// The tenants whose oldest entry is older than so many days.
pub async fn list_due(tx: &mut Tx, days: i32) -> Result<Vec<TenantId>, DbError> {
    let ids = sqlx::query_scalar!(
        "select tenant_id from audit_chains c
         where (select created_at from audit_log l where l.tenant_id = c.tenant_id order by place limit 1)
               < now() - make_interval(days => $1)
         order by 1",
        days,
    )
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(TenantId::from).collect())
}

/// What became of a tenant's oldest entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeReport {
    /// How many are gone.
    pub removed: i64,
    /// All that is archived is gone, and the rest has to wait for that.
    pub is_waiting_for_archive: bool,
}

/// Removes a tenant's oldest entries, as far as they are older than so many days and as they were written, some
/// hundreds of them. With `archived_only` none goes that is not archived.
pub async fn purge(
    tx: &mut Tx,
    tenant_id: &TenantId,
    days: i32,
    archived_only: bool,
) -> Result<PurgeReport, DbError> {
    // One at a time: else what another has just removed would be counted as still to be.
    sqlx::query!("select pg_advisory_xact_lock(hashtext('retire'), hashtext($1))", tenant_id.as_str())
        .fetch_one(&mut *tx)
        .await?;
    Ok(sqlx::query_as!(
        PurgeReport,
        r#"select gone.removed as "removed!", $3 and gone.last_place >= c.archived_place as "is_waiting_for_archive!"
           from audit_chains c
           cross join lateral (select case when $3 then greatest(c.archived_place - c.retired_place, 0) end) as may (go)
           cross join lateral retire_audit_entries(
               c.tenant_id, make_interval(days => $2), least(may.go, $4)::integer
           ) as gone
           where c.tenant_id = $1"#,
        tenant_id.as_str(),
        days,
        archived_only,
        i64::from(PURGE_BATCH),
    )
    .fetch_optional(tx)
    .await?
    .unwrap_or(PurgeReport { removed: 0, is_waiting_for_archive: false }))
}
