//! The table `audit_chains`, and the check that the entries of `audit_log` are unaltered. See
//! `migrations/0002_audit_log.sql`, also for the anchor at which a chain begins once older entries are
//! purged.

use models::TenantId;

use crate::{DbError, Tx};

/// Result of verifying all of a tenant's entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditChain {
    /// Number of entries in the table.
    pub entries: i64,
    /// Number of older entries, which were purged as intended.
    pub purged: i64,
    /// First altered entry, if any.
    pub broken: Option<ChainBreak>,
}

/// Position and kind of a break in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainBreak {
    /// Chain index of the entry, from 1.
    pub chain_index: i64,
    /// Kind of the break.
    pub fault: ChainFault,
}

/// Kind of a break in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainFault {
    /// The entry was altered, or the entries after it were rewritten.
    Changed,
    /// The entry is missing.
    Missing,
    /// The entry was written at another index.
    Moved,
    /// The entry and all later ones are missing.
    Truncated,
    /// The entry was not written through the audit log's function.
    Inserted,
    /// The head of the chain, which stores its length, is missing.
    HeadMissing,
}

impl ChainFault {
    /// Returns the text that follows "entry 7" in messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Changed => "was changed",
            Self::Missing => "is missing",
            Self::Moved => "was moved",
            Self::Truncated => "and all later ones are missing",
            Self::Inserted => "was inserted",
            Self::HeadMissing => "and all later ones have no chain head",
        }
    }
}

/// Lists the tenants that have a chain, or entries without one.
pub async fn list_chained_tenants(tx: &mut Tx) -> Result<Vec<TenantId>, DbError> {
    let ids = sqlx::query_scalar!(
        r#"select tenant_id as "tenant_id!" from audit_chains union select tenant_id from audit_log order by 1"#
    )
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(TenantId::from).collect())
}

/// Returns the number of entries after the anchor, according to the tenant's chain.
pub async fn count_entries(tx: &mut Tx, tenant_id: &TenantId) -> Result<i64, DbError> {
    let count = sqlx::query_scalar!(
        r#"select entry_count - purged_index as "count!" from audit_chains where tenant_id = $1"#,
        tenant_id.as_str()
    );
    Ok(count.fetch_optional(tx).await?.unwrap_or_default())
}

/// Verifies all of a tenant's entries in one snapshot.
pub async fn verify(tx: &mut Tx, tenant_id: &TenantId) -> Result<AuditChain, DbError> {
    tx.disable_statement_timeout().await?;
    let row = sqlx::query!(
        r#"with head as (
               select entry_count, hash, purged_index, purged_hash from audit_chains where tenant_id = $1
           ), anchor as (
               select coalesce((select purged_index from head), 0) as chain_index,
                      coalesce((select purged_hash from head), '') as hash
           ), chain as materialized (
               select l.entry_id, l.chain_index, l.hash, lag(l.chain_index, 1, a.chain_index) over before as index_before,
                      l.hash = audit_entry_hash(lag(l.hash, 1, a.hash) over before, l.tenant_id, l.chain_index, l.actor,
                                                l.action, l.detail, l.created_at) as is_whole
               from audit_log l cross join anchor a
               where l.tenant_id = $1 window before as (order by l.chain_index, l.entry_id)
           ), last as (
               select chain_index, hash from chain order by chain_index desc, entry_id desc limit 1
           ), bad as (
               select entry_id, chain_index, index_before from chain
               where chain_index <> index_before + 1 or is_whole is not true
               order by chain_index, entry_id limit 1
           )
           select (select count(*) from chain) as "entries!", anchor.chain_index as "retired!",
                  (select min(chain_index) from chain) as first_index,
                  coalesce((select chain_index from last), anchor.chain_index) as "last_index!",
                  coalesce((select hash from last), anchor.hash) is not distinct from head.hash as "ends_well!",
                  head.entry_count as "entry_count?",
                  bad.entry_id as "entry_id?", bad.chain_index as "chain_index?", bad.index_before as "index_before?"
           from anchor left join head on true left join bad on true"#,
        tenant_id.as_str(),
    )
    .fetch_one(&mut *tx)
    .await?;
    let (last, expected) = (row.last_index, row.entry_count.unwrap_or_default());
    let broken = match (row.entry_id, row.chain_index, row.index_before) {
        // Without a head, the start of the chain is unknown too.
        _ if let (Some(chain_index), None) = (row.first_index, row.entry_count) => {
            Some(ChainBreak { chain_index, fault: ChainFault::HeadMissing })
        }
        (Some(entry_id), Some(chain_index), Some(before)) => {
            let (chain_index, fault) = match chain_index {
                _ if chain_index > before + 1 => (before + 1, ChainFault::Missing),
                _ if chain_index <= before || chain_index > expected => (chain_index, ChainFault::Inserted),
                _ if is_entry_moved(tx, tenant_id, entry_id).await? => (chain_index, ChainFault::Moved),
                _ => (chain_index, ChainFault::Changed),
            };
            Some(ChainBreak { chain_index, fault })
        }
        _ if expected > last => Some(ChainBreak { chain_index: last + 1, fault: ChainFault::Truncated }),
        _ if expected < last => Some(ChainBreak { chain_index: expected + 1, fault: ChainFault::Inserted }),
        _ if last > 0 && !row.ends_well => Some(ChainBreak { chain_index: last, fault: ChainFault::Changed }),
        _ => None,
    };
    Ok(AuditChain { entries: row.entries, purged: row.retired, broken })
}

/// Returns whether an entry was written, word for word, at another index: either another entry's hash matches
/// its contents, or its own hash matches when computed behind another entry.
async fn is_entry_moved(tx: &mut Tx, tenant_id: &TenantId, entry_id: i64) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"with chain as (
               select chain_index, hash, lag(hash, 1, coalesce(
                          (select purged_hash from audit_chains where tenant_id = $1), ''
                      )) over (order by chain_index, entry_id) as hash_before
               from audit_log where tenant_id = $1
           )
           select exists (
               select from audit_log e cross join chain c cross join lateral (values
                   (c.hash_before, c.chain_index, c.hash), (c.hash, c.chain_index, e.hash), (c.hash, c.chain_index + 1, e.hash)
               ) as seen (hash_before, chain_index, hash)
               where e.tenant_id = $1 and e.entry_id = $2 and seen.chain_index <> e.chain_index
                 and seen.hash = audit_entry_hash(seen.hash_before, e.tenant_id, seen.chain_index, e.actor, e.action,
                                                  e.detail, e.created_at)
           ) as "exists!""#,
        tenant_id.as_str(),
        entry_id,
    )
    .fetch_one(tx)
    .await?)
}
