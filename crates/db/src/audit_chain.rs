//! The table `audit_chains`, and whether the entries of `audit_log` are still those that were chained; see
//! `migrations/0023_audit_chain.sql`, and 0029 for the anchor behind which they begin once older ones are gone.

use models::TenantId;

use crate::{DbError, Tx};

/// A tenant's entries, each looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditChain {
    /// Entries that are there.
    pub entries: i64,
    /// Older ones, which are gone as they should be.
    pub purged: i64,
    /// The first one that is not as it was written.
    pub broken: Option<ChainBreak>,
}

/// Where a chain breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainBreak {
    /// The place of the entry, from 1.
    pub place: i64,
    /// What was done to it.
    pub fault: ChainFault,
}

/// What was done to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainFault {
    /// It says something else, or what stands behind it was written anew.
    Changed,
    /// It is gone.
    Missing,
    /// It was written at another place.
    Moved,
    /// It is gone, and all that stood behind it.
    Truncated,
    /// Nobody wrote it the proper way.
    Inserted,
    /// Nothing tells how long the chain was.
    HeadMissing,
}

impl ChainFault {
    /// What people read behind "entry 7".
    pub fn describe(self) -> &'static str {
        match self {
            Self::Changed => "was changed",
            Self::Missing => "is missing",
            Self::Moved => "stands in another's place",
            Self::Truncated => "and all behind it were cut off",
            Self::Inserted => "was slipped in",
            Self::HeadMissing => "and all behind it have lost the head of their chain",
        }
    }
}

/// The tenants that have a chain, or entries without one.
pub async fn list_chained_tenants(tx: &mut Tx) -> Result<Vec<TenantId>, DbError> {
    let ids = sqlx::query_scalar!(
        r#"select tenant_id as "tenant_id!" from audit_chains union select tenant_id from audit_log order by 1"#
    )
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(TenantId::from).collect())
}

/// How many entries behind its anchor a tenant's chain tells of.
pub async fn count_entries(tx: &mut Tx, tenant_id: &TenantId) -> Result<i64, DbError> {
    let count = sqlx::query_scalar!(
        r#"select entry_count - retired_place as "count!" from audit_chains where tenant_id = $1"#,
        tenant_id.as_str()
    );
    Ok(count.fetch_optional(tx).await?.unwrap_or_default())
}

/// Looks at all of a tenant's entries, as they stand at one moment.
pub async fn verify(tx: &mut Tx, tenant_id: &TenantId) -> Result<AuditChain, DbError> {
    tx.disable_statement_timeout().await?;
    let row = sqlx::query!(
        r#"with head as (
               select entry_count, hash, retired_place, retired_hash from audit_chains where tenant_id = $1
           ), anchor as (
               select coalesce((select retired_place from head), 0) as place,
                      coalesce((select retired_hash from head), '') as hash
           ), chain as materialized (
               select l.entry_id, l.place, l.hash, lag(l.place, 1, a.place) over before as place_before,
                      l.hash = audit_entry_hash(lag(l.hash, 1, a.hash) over before, l.tenant_id, l.place, l.actor,
                                                l.action, l.detail, l.created_at) as is_whole
               from audit_log l cross join anchor a
               where l.tenant_id = $1 window before as (order by l.place, l.entry_id)
           ), last as (
               select place, hash from chain order by place desc, entry_id desc limit 1
           ), bad as (
               select entry_id, place, place_before from chain
               where place <> place_before + 1 or is_whole is not true
               order by place, entry_id limit 1
           )
           select (select count(*) from chain) as "entries!", anchor.place as "retired!",
                  (select min(place) from chain) as first_place,
                  coalesce((select place from last), anchor.place) as "last_place!",
                  coalesce((select hash from last), anchor.hash) is not distinct from head.hash as "ends_well!",
                  head.entry_count as "entry_count?",
                  bad.entry_id as "entry_id?", bad.place as "place?", bad.place_before as "place_before?"
           from anchor left join head on true left join bad on true"#,
        tenant_id.as_str(),
    )
    .fetch_one(&mut *tx)
    .await?;
    let (last, told) = (row.last_place, row.entry_count.unwrap_or_default());
    let broken = match (row.entry_id, row.place, row.place_before) {
        // Nothing tells where it begins either.
        _ if let (Some(place), None) = (row.first_place, row.entry_count) => {
            Some(ChainBreak { place, fault: ChainFault::HeadMissing })
        }
        (Some(entry_id), Some(place), Some(before)) => {
            let (place, fault) = match place {
                _ if place > before + 1 => (before + 1, ChainFault::Missing),
                _ if place <= before || place > told => (place, ChainFault::Inserted),
                _ if is_entry_moved(tx, tenant_id, entry_id).await? => (place, ChainFault::Moved),
                _ => (place, ChainFault::Changed),
            };
            Some(ChainBreak { place, fault })
        }
        _ if told > last => Some(ChainBreak { place: last + 1, fault: ChainFault::Truncated }),
        _ if told < last => Some(ChainBreak { place: told + 1, fault: ChainFault::Inserted }),
        _ if last > 0 && !row.ends_well => Some(ChainBreak { place: last, fault: ChainFault::Changed }),
        _ => None,
    };
    Ok(AuditChain { entries: row.entries, purged: row.retired, broken })
}

/// Whether what an entry says was written, word for word, at another place: where another's digest fits it, or its own
/// fits behind another.
async fn is_entry_moved(tx: &mut Tx, tenant_id: &TenantId, entry_id: i64) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"with chain as (
               select place, hash, lag(hash, 1, coalesce(
                          (select retired_hash from audit_chains where tenant_id = $1), ''
                      )) over (order by place, entry_id) as hash_before
               from audit_log where tenant_id = $1
           )
           select exists (
               select from audit_log e cross join chain c cross join lateral (values
                   (c.hash_before, c.place, c.hash), (c.hash, c.place, e.hash), (c.hash, c.place + 1, e.hash)
               ) as seen (hash_before, place, hash)
               where e.tenant_id = $1 and e.entry_id = $2 and seen.place <> e.place
                 and seen.hash = audit_entry_hash(seen.hash_before, e.tenant_id, seen.place, e.actor, e.action,
                                                  e.detail, e.created_at)
           ) as "exists!""#,
        tenant_id.as_str(),
        entry_id,
    )
    .fetch_one(tx)
    .await?)
}
