//! The table `tombstones`: deletions of tenants and forgotten people, without names. They are replayed after a
//! restore of an older backup, which holds the deleted data and not the tombstone.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use models::{TenantId, UserId};
use secrecy::SecretString;
use serde_json::json;
use sqlx::Connection;

use crate::primary_monitor::Addresses;
use crate::{DbError, Tx};

/// What a tombstone is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TombstoneKind {
    /// A tenant's data was deleted.
    Tenant,
    /// A person of a tenant was forgotten.
    Person,
}

impl TombstoneKind {
    /// Returns the name in the database and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Person => "person",
        }
    }

    /// Returns the kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Tenant, Self::Person].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A deletion, as it is kept beside the backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// What was deleted.
    pub kind: TombstoneKind,
    /// Keyed digest of the tenant, or of the tenant and the person, in hexadecimal digits.
    pub digest: String,
    /// The master key that made the digest.
    pub master_key_id: String,
    /// Time of the deletion. What is older is to be deleted, what is newer stays.
    pub made_at: DateTime<Utc>,
}

/// Records that a tenant's data was deleted.
pub(crate) async fn insert_tenant(tx: &mut Tx, tenant_id: &TenantId) -> Result<(), DbError> {
    insert(tx, TombstoneKind::Tenant, &tenant_statement(tenant_id)).await.map(|_| ())
}

/// Records that a person was forgotten. Returns the digest.
pub(crate) async fn insert_person(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<String, DbError> {
    insert(tx, TombstoneKind::Person, &person_statement(tenant_id, user_id)).await
}

async fn insert(tx: &mut Tx, kind: TombstoneKind, statement: &[u8]) -> Result<String, DbError> {
    let Some(current) = tx.master_keys().digest(statement).into_iter().next() else {
        return Ok(String::new());
    };
    let digest = hex::encode(current.tag);
    sqlx::query!(
        "insert into tombstones (digest, kind, master_key_id, made_at) values ($1, $2, $3, clock_timestamp())
         on conflict (digest) do update set made_at = excluded.made_at, is_pending = false",
        digest,
        kind.as_str(),
        current.master_key_id,
    )
    .execute(tx)
    .await?;
    Ok(digest)
}

/// Returns whether a person was forgotten in the last `within`; ever, if `None`.
pub async fn is_forgotten(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    within: Option<Duration>,
) -> Result<bool, DbError> {
    let digests = digests(tx, &person_statement(tenant_id, user_id));
    Ok(sqlx::query_scalar!(
        r#"select exists (select from tombstones where digest = any($1)
               and ($2::float8 is null or made_at > clock_timestamp() - make_interval(secs => $2))) as "forgotten!""#,
        &digests,
        within.map(|within| within.as_secs_f64()),
    )
    .fetch_one(tx)
    .await?)
}

/// Waits until nobody else forgets this person or writes of them, and keeps others from it until the end of
/// the transaction. Writers share the lock, and a person is forgotten alone.
pub async fn lock_person(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    is_exclusive: bool,
) -> Result<(), DbError> {
    let name = format!("person {tenant_id} {user_id}");
    sqlx::query!(
        r#"select case when $2 then pg_advisory_xact_lock(hashtextextended($1, 0))
                       else pg_advisory_xact_lock_shared(hashtextextended($1, 0)) end is null as "locked!""#,
        name,
        is_exclusive,
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}

/// Lists all tombstones, oldest first.
pub async fn list(tx: &mut Tx) -> Result<Vec<Tombstone>, DbError> {
    let rows =
        sqlx::query!("select kind, digest, master_key_id, made_at from tombstones order by made_at, digest")
            .fetch_all(tx)
            .await?;
    let read = |(kind, digest, master_key_id, made_at): (String, _, _, _)| {
        Some(Tombstone { kind: TombstoneKind::parse(&kind)?, digest, master_key_id, made_at })
    };
    Ok(rows
        .into_iter()
        .filter_map(|row| read((row.kind, row.digest, row.master_key_id, row.made_at)))
        .collect())
}

/// Adds tombstones that are not known here, or are known from an earlier deletion, to be replayed. Returns
/// their number.
pub async fn import(tx: &mut Tx, tombstones: &[Tombstone]) -> Result<u64, DbError> {
    let mut added = 0;
    for tombstone in tombstones {
        added += sqlx::query!(
            "insert into tombstones (digest, kind, master_key_id, made_at, is_pending) values ($1, $2, $3, $4, true)
             on conflict (digest) do update set made_at = excluded.made_at, is_pending = true
             where tombstones.made_at < excluded.made_at",
            tombstone.digest,
            tombstone.kind.as_str(),
            tombstone.master_key_id,
            tombstone.made_at,
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
    }
    Ok(added)
}

/// Tombstones to replay, by their digest.
#[derive(Debug, Default)]
pub(crate) struct Pending(HashMap<String, DateTime<Utc>>);

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the time at which the tenant was deleted.
    pub(crate) fn find_tenant(&self, tx: &Tx, tenant_id: &TenantId) -> Option<DateTime<Utc>> {
        self.find(&digests(tx, &tenant_statement(tenant_id)))
    }

    /// Returns the time at which the person was forgotten.
    pub(crate) fn find_person(&self, tx: &Tx, tenant_id: &TenantId, user: &UserId) -> Option<DateTime<Utc>> {
        self.find(&digests(tx, &person_statement(tenant_id, user)))
    }

    fn find(&self, digests: &[String]) -> Option<DateTime<Utc>> {
        digests.iter().filter_map(|digest| self.0.get(digest)).max().copied()
    }
}

/// Returns the tombstones of one kind that are to be replayed.
///
/// # Errors
/// [`DbError::UnknownTombstoneKey`], if one was made with a master key that is not in `ENCRYPTION_KEYS`.
pub(crate) async fn load_pending(tx: &mut Tx, kind: TombstoneKind) -> Result<Pending, DbError> {
    let rows = sqlx::query!(
        "select digest, master_key_id, made_at from tombstones where is_pending and kind = $1",
        kind.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let keys = tx.master_keys();
    if let Some(row) = rows.iter().find(|row| !keys.ids().contains(&row.master_key_id.as_str())) {
        return Err(DbError::UnknownTombstoneKey(row.master_key_id.clone()));
    }
    Ok(Pending(rows.into_iter().map(|row| (row.digest, row.made_at)).collect()))
}

/// Records that all tombstones are replayed.
pub(crate) async fn mark_replayed(tx: &mut Tx) -> Result<(), DbError> {
    sqlx::query!("update tombstones set is_pending = false where is_pending").execute(tx).await?;
    Ok(())
}

/// Counts the tombstones to replay, as the owner of the tables and without the master keys.
pub async fn count_pending(direct_urls: &[SecretString]) -> Result<i64, DbError> {
    let (_, mut connection) = Addresses::parse(direct_urls)?.connect_primary().await?;
    // A transaction and no named statement, since the address may lead through a transaction pooler.
    let mut transaction = connection.begin().await?;
    let count = sqlx::query_scalar("select count(*) from enablebot.tombstones where is_pending");
    let count = count.persistent(false).fetch_one(&mut *transaction).await?;
    transaction.rollback().await?;
    Ok(count)
}

fn digests(tx: &Tx, statement: &[u8]) -> Vec<String> {
    tx.master_keys().digest(statement).into_iter().map(|digest| hex::encode(digest.tag)).collect()
}

// A JSON array shows where each part ends, whatever the part contains.
fn tenant_statement(tenant_id: &TenantId) -> Vec<u8> {
    json!(["tenant", tenant_id]).to_string().into_bytes()
}

fn person_statement(tenant_id: &TenantId, user_id: &UserId) -> Vec<u8> {
    json!(["person", tenant_id, user_id]).to_string().into_bytes()
}
