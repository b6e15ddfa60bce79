//! The table `tenants`: who uses EnableBot, how they leave, and what is left then.

use chrono::{DateTime, Utc};
use crypto::Signature;
use models::TenantId;
use serde::Serialize;
use serde_json::json;

use crate::audit_log::{self, AuditAction};
use crate::{DbError, Tx, keys};

/// What stands in a receipt of deletion: all that is left of a tenant, in the audit log.
#[must_use = "its receipt is to be written"]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantDeletion {
    /// Whose data it was.
    pub tenant_id: TenantId,
    /// Why, in a word.
    pub reason: String,
    /// When.
    pub deleted_at: DateTime<Utc>,
    /// Rows, table by table.
    pub rows: std::collections::BTreeMap<&'static str, u64>,
}

/// Notes a tenant, or its new name; what was to be deleted stays.
pub(crate) async fn upsert(tx: &mut Tx, tenant_id: &TenantId, name: &str) -> Result<(), DbError> {
    sqlx::query!(
        "insert into tenants (tenant_id, name) values ($1, $2)
         on conflict (tenant_id) do update set name = excluded.name, delete_after = null",
        tenant_id.as_str(),
        name,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks what a worker may hold before it comes to the tenant, in the worker's order: whoever is to delete it all meets
/// nobody in the opposite one.
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

/// What a tenant is called, if there is one.
pub async fn find_name(tx: &mut Tx, tenant_id: &TenantId) -> Result<Option<String>, DbError> {
    Ok(sqlx::query_scalar!("select name from tenants where tenant_id = $1", tenant_id.as_str())
        .fetch_optional(tx)
        .await?)
}

/// Locks a tenant for this transaction, before it is decided what becomes of it: a new install waits, or has been. False
/// where the tenant is gone.
pub async fn lock(tx: &mut Tx, tenant_id: &TenantId) -> Result<bool, DbError> {
    let locked = sqlx::query!(
        "select true as locked from tenants where tenant_id = $1 for update",
        tenant_id.as_str()
    )
    .fetch_optional(tx)
    .await?;
    Ok(locked.is_some())
}

/// Deletes what was stored for a tenant while its data was being deleted. Nothing, where there is such a tenant.
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

/// Puts the deletion off by so many days; within them a new install has everything again.
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

/// Tenants whose data is to go now. Locked, so that a new install waits for what becomes of it.
pub async fn list_due(tx: &mut Tx) -> Result<Vec<TenantId>, DbError> {
    let due = sqlx::query_scalar!(
        "select tenant_id from tenants where delete_after <= now()
         order by delete_after limit 10 for update skip locked",
    )
    .fetch_all(tx)
    .await?;
    Ok(due.into_iter().map(TenantId::from).collect())
}

/// Deletes everything of a tenant: the data key first, without which nothing of it can be read any more, not even from a
/// backup. What stays is the audit log, with a signed receipt as its last entry: [`write_receipt`].
pub async fn delete(tx: &mut Tx, tenant_id: &TenantId, reason: &str) -> Result<TenantDeletion, DbError> {
    delete_with_progress(tx, tenant_id, reason, |_, _| ()).await
}

/// The same, and tells of each table how many rows of it are gone, once they are.
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
            let gone = sqlx::query!($sql, id).execute(&mut *tx).await?.rows_affected();
            on_table($table, gone);
            rows.insert($table, gone);
        };
    }
    let gone = keys::delete_all(tx, tenant_id).await?;
    on_table("encryption_keys", gone);
    rows.insert("encryption_keys", gone);
    delete_from!("installations", "delete from installations where tenant_id = $1");
    delete_from!("team_access", "delete from team_access where tenant_id = $1");
    delete_from!("turns", "delete from turns where tenant_id = $1");
    delete_from!("usage", "delete from usage where tenant_id = $1");
    delete_from!("settings", "delete from settings where tenant_id = $1");
    // Behind the settings, whose row whoever reserves holds.
    delete_from!("reservations", "delete from reservations where tenant_id = $1");
    delete_from!("feedback", "delete from feedback where tenant_id = $1");
    delete_from!("people", "delete from people where tenant_id = $1");
    delete_from!("api_keys", "delete from api_keys where tenant_id = $1");
    delete_from!("chat_leases", "delete from chat_leases where tenant_id = $1");
    delete_from!("channels", "delete from channels where tenant_id = $1");
    delete_from!("replies", "delete from replies where tenant_id = $1");
    delete_from!("events", "delete from events where tenant_id = $1");
    // Behind the events, which move there.
    delete_from!("event_history", "delete from event_history where tenant_id = $1");
    delete_from!("ignored_events", "delete from ignored_events where tenant_id = $1");
    delete_from!("threads", "delete from threads where tenant_id = $1");
    delete_from!("exports", "delete from exports where tenant_id = $1");
    delete_from!("sessions", "delete from sessions where tenant_id = $1");
    delete_from!("tenants", "delete from tenants where tenant_id = $1");
    Ok(TenantDeletion {
        tenant_id: tenant_id.clone(),
        reason: reason.to_owned(),
        // What Postgres stores of a time has microseconds.
        deleted_at: chrono::SubsecRound::trunc_subsecs(Utc::now(), 6),
        rows,
    })
}

/// Writes down what was deleted, signed.
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

/// A receipt as it is found in the audit log.
#[derive(Clone, Debug)]
pub struct DeletionReceipt {
    /// What was deleted.
    pub statement: serde_json::Value,
    /// The signature under the master key.
    pub signature: Signature,
    /// Whether the signature is right; `None` where its master key is gone.
    pub is_genuine: Option<bool>,
}

/// The receipts of a tenant, oldest first, each checked.
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

/// Sets a tenant's share of the places in the queue, beside those of weight 1; false where there is no such tenant.
pub async fn set_weight(tx: &mut Tx, tenant_id: &TenantId, weight: i32) -> Result<bool, DbError> {
    let set = sqlx::query!("update tenants set weight = $2 where tenant_id = $1", tenant_id.as_str(), weight)
        .execute(tx)
        .await?;
    Ok(set.rows_affected() == 1)
}

/// Lets none of a tenant's questions be answered, and says why; false where there is no such tenant, or it is suspended.
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

/// Lets a tenant that was suspended go on; false where it was not.
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

/// A tenant, as an operator looks at it.
#[derive(Clone, Debug)]
pub struct TenantState {
    /// The tenant.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: String,
    /// When it was installed last; `None` once it is not.
    pub installed_at: Option<DateTime<Utc>>,
    /// What was granted.
    pub scopes: Option<String>,
    /// Why the token is dead, if it is.
    pub disabled_reason: Option<String>,
    /// What Slack last refused for how the app is set up.
    pub problem: Option<String>,
    /// When its data goes, if the bot was taken out.
    pub delete_after: Option<DateTime<Utc>>,
    /// Why its questions are not answered, if an operator suspended it.
    pub suspended_reason: Option<String>,
    /// Its share of the places in the queue.
    pub weight: i32,
}

/// Every tenant, by name.
pub async fn list(tx: &mut Tx) -> Result<Vec<TenantState>, DbError> {
    Ok(sqlx::query_as!(
        TenantState,
        r#"select tenant_id, name, installed_at as "installed_at?", scopes as "scopes?", disabled_reason, problem,
                  delete_after, suspended_reason, weight
           from tenants left join installations using (tenant_id) order by name, tenant_id"#,
    )
    .fetch_all(tx)
    .await?)
}
