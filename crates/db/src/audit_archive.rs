//! Archiving and purging of audit log entries: an entry first goes into the archive, if there is one, and
//! leaves the table once it is old. See `migrations/0002_audit_log.sql`.

use chrono::{DateTime, Utc};
use models::TenantId;

use crate::{DbError, Tx};

/// Entries removed in one transaction. No entry of that tenant can be written meanwhile.
const PURGE_BATCH: i32 = 500;

/// A tenant with entries that are not archived yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnarchivedTenant {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Number of those entries.
    pub entries: i64,
}

/// Lists the tenants whose oldest unarchived entry is older than `hours` hours.
pub async fn list_unarchived(tx: &mut Tx, hours: i32) -> Result<Vec<UnarchivedTenant>, DbError> {
    Ok(sqlx::query_as!(
        UnarchivedTenant,
        r#"select c.tenant_id, c.entry_count - kept.chain_index as "entries!"
           from audit_chains c cross join lateral (select greatest(c.archived_index, c.purged_index)) as kept (chain_index)
           where c.entry_count > kept.chain_index
             and (select created_at from audit_log l where l.tenant_id = c.tenant_id and l.chain_index > kept.chain_index
                  order by l.chain_index limit 1) <= now() - make_interval(hours => $1)
           order by 1"#,
        hours,
    )
    .fetch_all(tx)
    .await?)
}

/// Contents of one object of the archive: consecutive entries of a tenant.
#[derive(Clone, Debug)]
pub struct ArchiveSegment {
    /// Tenant of the entries.
    pub tenant_id: TenantId,
    /// Chain index of the first entry.
    pub first_index: i64,
    /// Chain index of the last entry.
    pub last_index: i64,
    /// Hash of the entry before the first one, which the first one's hash covers; empty if there is none.
    pub previous_hash: Vec<u8>,
    /// Entries as found in the table. Some may be missing or altered.
    pub entries: Vec<ChainedEntry>,
}

/// An entry with its hash.
#[derive(Clone, Debug)]
pub struct ChainedEntry {
    /// Position in the tenant's chain, from 1.
    pub chain_index: i64,
    /// Time of the entry.
    pub created_at: DateTime<Utc>,
    /// Actor: a user id, `enablebot` or `operator`.
    pub actor: String,
    /// Action.
    pub action: String,
    /// Details as JSON, formatted by Postgres: the hash covers this exact text.
    pub detail: String,
    /// Hash over all fields above and the previous entry's hash.
    pub hash: Vec<u8>,
}

/// Starts the next segment of at most `limit` entries and returns it; `None` if everything is archived.
/// Returns the same segment until [`commit_segment`] is called, so commit this transaction before writing the
/// object.
pub async fn begin_segment(
    tx: &mut Tx,
    tenant_id: &TenantId,
    limit: i32,
) -> Result<Option<ArchiveSegment>, DbError> {
    let range = sqlx::query!(
        "select first_index, last_index from audit_segment_begin($1, $2)",
        tenant_id.as_str(),
        limit
    )
    .fetch_one(&mut *tx)
    .await?;
    let (Some(first_index), Some(last_index)) = (range.first_index, range.last_index) else {
        return Ok(None);
    };
    let previous_hash = find_hash(tx, tenant_id, first_index - 1).await?.unwrap_or_default();
    let entries = sqlx::query_as!(
        ChainedEntry,
        r#"select chain_index, created_at, actor, action, detail::text as "detail!", hash from audit_log
           where tenant_id = $1 and chain_index between $2 and $3 order by chain_index, entry_id"#,
        tenant_id.as_str(),
        first_index,
        last_index,
    )
    .fetch_all(tx)
    .await?;
    Ok(Some(ArchiveSegment { tenant_id: tenant_id.clone(), first_index, last_index, previous_hash, entries }))
}

/// Records that the segment ending at `last_index` is in the archive.
pub async fn commit_segment(tx: &mut Tx, tenant_id: &TenantId, last_index: i64) -> Result<(), DbError> {
    sqlx::query!("select audit_segment_commit($1, $2)", tenant_id.as_str(), last_index).fetch_one(tx).await?;
    Ok(())
}

/// Returns the hash of the entry at an index, or of the last purged entry if that is its index; `None` if
/// neither matches.
pub async fn find_hash(
    tx: &mut Tx,
    tenant_id: &TenantId,
    chain_index: i64,
) -> Result<Option<Vec<u8>>, DbError> {
    Ok(sqlx::query_scalar!(
        r#"(select hash as "hash!" from audit_log where tenant_id = $1 and chain_index = $2 order by entry_id limit 1)
           union all
           select purged_hash from audit_chains where tenant_id = $1 and purged_index = $2
           limit 1"#,
        tenant_id.as_str(),
        chain_index,
    )
    .fetch_optional(tx)
    .await?)
}

/// Lists the tenants whose oldest entry is older than `days` days.
pub async fn list_due(tx: &mut Tx, days: i32) -> Result<Vec<TenantId>, DbError> {
    let ids = sqlx::query_scalar!(
        "select tenant_id from audit_chains c
         where (select created_at from audit_log l where l.tenant_id = c.tenant_id order by chain_index limit 1)
               < now() - make_interval(days => $1)
         order by 1",
        days,
    )
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(TenantId::from).collect())
}

/// Result of purging a tenant's oldest entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeReport {
    /// Number of removed entries.
    pub removed: i64,
    /// True if all archived entries are removed and the rest must be archived first.
    pub is_waiting_for_archive: bool,
}

/// Removes some hundred of a tenant's oldest entries, if they are older than `days` days and unaltered. With
/// `archived_only`, removes only archived entries.
pub async fn purge(
    tx: &mut Tx,
    tenant_id: &TenantId,
    days: i32,
    archived_only: bool,
) -> Result<PurgeReport, DbError> {
    // One purge at a time: otherwise entries that another one has just removed would be counted as remaining.
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtext('enablebot purge_audit_entries'), hashtext($1))",
        tenant_id.as_str()
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(sqlx::query_as!(
        PurgeReport,
        r#"select gone.removed as "removed!", $3 and gone.last_index >= c.archived_index as "is_waiting_for_archive!"
           from audit_chains c
           cross join lateral (select case when $3 then greatest(c.archived_index - c.purged_index, 0) end) as may (go)
           cross join lateral purge_audit_entries(
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
