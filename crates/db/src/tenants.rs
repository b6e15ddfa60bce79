//! The table `tenants`: who uses EnableBot, how they leave, and what remains afterwards.

use chrono::{DateTime, Utc};
use crypto::Signature;
use models::TenantId;
use serde::Serialize;
use serde_json::json;

use crate::audit_log::{self, AuditAction};
use crate::{DbError, Tx, keys, tenant_rules, tombstones};

/// Contents of a deletion receipt in the audit log, which is all that remains of a tenant.
#[must_use = "its receipt is to be written"]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantDeletion {
    /// Tenant whose data was deleted.
    pub tenant_id: TenantId,
    /// Reason, as one word.
    pub reason: String,
    /// Time of the deletion.
    pub deleted_at: DateTime<Utc>,
    /// From this time on, the next backup deletes the last file of data keys that opens the data in backups.
    /// `None` if no backup of that kind was taken.
    pub backup_keys_expire_at: Option<DateTime<Utc>>,
    /// Deleted rows by table.
    pub rows: std::collections::BTreeMap<&'static str, u64>,
}

/// Creates or renames a tenant, and cancels a scheduled deletion. An operator's rules from before apply again.
pub(crate) async fn upsert(tx: &mut Tx, tenant_id: &TenantId, name: &str) -> Result<(), DbError> {
    sqlx::query!(
        "insert into tenants (tenant_id, name) values ($1, $2)
         on conflict (tenant_id) do update set name = excluded.name, delete_after = null",
        tenant_id.as_str(),
        name,
    )
    .execute(&mut *tx)
    .await?;
    tenant_rules::restore(tx, tenant_id).await
}

/// Locks the rows that a worker locks before the tenant, in the worker's order, so that a deletion cannot
/// deadlock with it.
pub async fn lock_threads(tx: &mut Tx, tenant_id: &TenantId) -> Result<(), DbError> {
    tx.disable_statement_timeout().await?;
    sqlx::query!(
        "select true as locked from threads where tenant_id = $1 order by channel_id, thread_ts for update",
        tenant_id.as_str(),
    )
    .fetch_all(tx)
    .await?;
    Ok(())
}

/// Returns the name of a tenant, if it exists.
pub async fn find_name(tx: &mut Tx, tenant_id: &TenantId) -> Result<Option<String>, DbError> {
    Ok(sqlx::query_scalar!("select name from tenants where tenant_id = $1", tenant_id.as_str())
        .fetch_optional(tx)
        .await?)
}

/// Locks a tenant for this transaction before a decision about it: a new install waits, or has finished.
/// Returns false if the tenant is gone.
pub async fn lock(tx: &mut Tx, tenant_id: &TenantId) -> Result<bool, DbError> {
    let locked = sqlx::query!(
        "select true as locked from tenants where tenant_id = $1 for update",
        tenant_id.as_str()
    )
    .fetch_optional(tx)
    .await?;
    Ok(locked.is_some())
}

/// Deletes rows that were stored for a tenant while its data was being deleted. Does nothing if the tenant
/// exists.
pub async fn delete_orphans(tx: &mut Tx, tenant_id: &TenantId) -> Result<(), DbError> {
    let id = tenant_id.as_str();
    sqlx::query!(
        "delete from threads where tenant_id = $1 and not exists (select from tenants where tenant_id = $1)",
        id
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from events where tenant_id = $1 and not exists (select from tenants where tenant_id = $1)",
        id
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Schedules the deletion in `days` days; a new install before then keeps all data.
pub async fn schedule_deletion(tx: &mut Tx, tenant_id: &TenantId, days: i32) -> Result<(), DbError> {
    sqlx::query!(
        "update tenants set delete_after = now() + make_interval(days => $2) where tenant_id = $1",
        tenant_id.as_str(),
        days,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lists tenants whose data is due for deletion.
pub async fn list_due(tx: &mut Tx) -> Result<Vec<TenantId>, DbError> {
    let due = sqlx::query_scalar!(
        "select tenant_id from tenants where delete_after <= now() order by delete_after"
    )
    .fetch_all(tx)
    .await?;
    Ok(due.into_iter().map(TenantId::from).collect())
}

/// Locks a tenant if its data is due for deletion, so that a new install waits for the result. Returns false
/// if it is not due, or another process is deleting it.
pub async fn lock_due(tx: &mut Tx, tenant_id: &TenantId) -> Result<bool, DbError> {
    let locked = sqlx::query!(
        "select true as locked from tenants where tenant_id = $1 and delete_after <= now()
         for update skip locked",
        tenant_id.as_str(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(locked.is_some())
}

/// Deletes all data of a tenant. The data keys go first: without them no data is readable, not even in a
/// backup. The audit log stays, with a signed receipt as its last entry: [`write_receipt`]. An operator's rules
/// stay too: [`tenant_rules`].
pub async fn delete(tx: &mut Tx, tenant_id: &TenantId, reason: &str) -> Result<TenantDeletion, DbError> {
    delete_with_progress(tx, tenant_id, reason, |_, _| ()).await
}

/// Deletes all data of a tenant, like [`delete`], and reports the number of deleted rows after each table.
pub async fn delete_with_progress(
    tx: &mut Tx,
    tenant_id: &TenantId,
    reason: &str,
    mut on_table: impl FnMut(&'static str, u64) + Send,
) -> Result<TenantDeletion, DbError> {
    tx.disable_statement_timeout().await?;
    let id = tenant_id.as_str();
    let mut rows = std::collections::BTreeMap::new();
    macro_rules! delete_from {
        ($table:literal, $sql:literal) => {
            let deleted = sqlx::query!($sql, id).execute(&mut *tx).await?.rows_affected();
            on_table($table, deleted);
            rows.insert($table, deleted);
        };
    }
    let deleted = keys::delete_all(tx, tenant_id).await?;
    on_table("encryption_keys", deleted);
    rows.insert("encryption_keys", deleted);
    delete_from!("installations", "delete from installations where tenant_id = $1");
    delete_from!("team_access", "delete from team_access where tenant_id = $1");
    delete_from!("chat_memory", "delete from chat_memory where tenant_id = $1");
    delete_from!("usage", "delete from usage where tenant_id = $1");
    delete_from!("settings", "delete from settings where tenant_id = $1");
    // After the settings, because a reservation holds the lock on the settings row.
    delete_from!("reservations", "delete from reservations where tenant_id = $1");
    delete_from!("feedback", "delete from feedback where tenant_id = $1");
    delete_from!("managers", "delete from managers where tenant_id = $1");
    delete_from!("people", "delete from people where tenant_id = $1");
    delete_from!("api_keys", "delete from api_keys where tenant_id = $1");
    delete_from!("chat_leases", "delete from chat_leases where tenant_id = $1");
    delete_from!("channels", "delete from channels where tenant_id = $1");
    delete_from!("replies", "delete from replies where tenant_id = $1");
    delete_from!("events", "delete from events where tenant_id = $1");
    // After `events`, because finished events move here.
    delete_from!("event_history", "delete from event_history where tenant_id = $1");
    delete_from!("ignored_events", "delete from ignored_events where tenant_id = $1");
    delete_from!("threads", "delete from threads where tenant_id = $1");
    delete_from!("exports", "delete from exports where tenant_id = $1");
    delete_from!("sessions", "delete from sessions where tenant_id = $1");
    tenant_rules::keep(tx, tenant_id).await?;
    delete_from!("tenants", "delete from tenants where tenant_id = $1");
    let backup_keys_expire_at =
        sqlx::query_scalar!("select max(taken_at + keys_kept) from backups").fetch_one(&mut *tx).await?;
    tombstones::insert_tenant(tx, tenant_id).await?;
    Ok(TenantDeletion {
        tenant_id: tenant_id.clone(),
        reason: reason.to_owned(),
        backup_keys_expire_at,
        // Postgres stores times in microseconds.
        deleted_at: chrono::SubsecRound::trunc_subsecs(Utc::now(), 6),
        rows,
    })
}

/// Writes the signed receipt of a deletion.
pub async fn write_receipt(
    tx: &mut Tx,
    tenant_id: &TenantId,
    deletion: &TenantDeletion,
) -> Result<(), DbError> {
    let statement = serde_json::to_value(deletion)?;
    let signature = tx.master_keys().sign(statement.to_string().as_bytes());
    let detail = json!({
        "receipt": statement,
        "signature": hex::encode(&signature.tag),
        "master_key_id": signature.master_key_id,
    });
    audit_log::insert(tx, tenant_id, "enablebot", AuditAction::Deleted, detail).await
}

/// A receipt as found in the audit log.
#[derive(Clone, Debug)]
pub struct DeletionReceipt {
    /// The deleted data.
    pub statement: serde_json::Value,
    /// Signature by the master key.
    pub signature: Signature,
    /// True if the signature is valid; `None` if its master key is gone.
    pub is_genuine: Option<bool>,
}

/// Lists the receipts of a tenant, oldest first, each verified.
pub async fn list_receipts(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<DeletionReceipt>, DbError> {
    let details = sqlx::query_scalar!(
        "select detail from audit_log where tenant_id = $1 and action = 'deleted' order by entry_id",
        tenant_id.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let keys = tx.master_keys();
    Ok(details
        .into_iter()
        .map(|mut detail| {
            let text = |key: &str| detail[key].as_str().unwrap_or_default().to_owned();
            let signature = Signature {
                tag: hex::decode(text("signature")).unwrap_or_default(),
                master_key_id: text("master_key_id"),
            };
            let statement = detail["receipt"].take();
            let is_genuine = keys.verify(statement.to_string().as_bytes(), &signature);
            DeletionReceipt { statement, signature, is_genuine }
        })
        .collect())
}

/// Sets a tenant's weight in the queue; the default is 1. Returns false if there is no such tenant.
pub async fn set_weight(tx: &mut Tx, tenant_id: &TenantId, weight: i32) -> Result<bool, DbError> {
    let set = sqlx::query!("update tenants set weight = $2 where tenant_id = $1", tenant_id.as_str(), weight)
        .execute(tx)
        .await?;
    Ok(set.rows_affected() == 1)
}

/// Suspends a tenant: its messages are not answered. Returns false if there is no such tenant or it is
/// already suspended.
pub async fn suspend(tx: &mut Tx, tenant_id: &TenantId, reason: &str) -> Result<bool, DbError> {
    let suspended = sqlx::query!(
        "update tenants set suspended_at = now(), suspended_reason = $2
         where tenant_id = $1 and suspended_at is null",
        tenant_id.as_str(),
        reason,
    )
    .execute(tx)
    .await?;
    Ok(suspended.rows_affected() == 1)
}

/// Resumes a suspended tenant. Returns false if it was not suspended.
pub async fn resume(tx: &mut Tx, tenant_id: &TenantId) -> Result<bool, DbError> {
    let resumed = sqlx::query!(
        "update tenants set suspended_at = null, suspended_reason = null
         where tenant_id = $1 and suspended_at is not null",
        tenant_id.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(resumed.rows_affected() == 1)
}

/// Returns the reason of a tenant's suspension, if it is suspended.
pub async fn find_suspension(tx: &mut Tx, tenant_id: &TenantId) -> Result<Option<String>, DbError> {
    let reason =
        sqlx::query_scalar!("select suspended_reason from tenants where tenant_id = $1", tenant_id.as_str())
            .fetch_optional(tx)
            .await?;
    Ok(reason.flatten())
}

/// A tenant, as shown to operators.
#[derive(Clone, Debug)]
pub struct TenantState {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Name for people.
    pub name: String,
    /// Its organisation, if it has one.
    pub enterprise_id: Option<String>,
    /// Time of the last install; `None` if it is not installed.
    pub installed_at: Option<DateTime<Utc>>,
    /// Granted scopes.
    pub scopes: Option<String>,
    /// Reason why the token is dead, if it is.
    pub disabled_reason: Option<String>,
    /// Last configuration problem of the app that Slack reported.
    pub problem: Option<String>,
    /// Time at which its data will be deleted, if the bot was removed.
    pub delete_after: Option<DateTime<Utc>>,
    /// Reason given by the operator who suspended it, if it is suspended.
    pub suspended_reason: Option<String>,
    /// Its weight in the queue.
    pub weight: i32,
}

/// Lists all tenants, by name.
pub async fn list(tx: &mut Tx) -> Result<Vec<TenantState>, DbError> {
    Ok(sqlx::query_as!(
        TenantState,
        r#"select tenant_id, name, enterprise_id as "enterprise_id?", installed_at as "installed_at?", scopes as "scopes?", disabled_reason, problem,
                  delete_after, suspended_reason, weight
           from tenants left join installations using (tenant_id) order by name, tenant_id"#,
    )
    .fetch_all(tx)
    .await?)
}
