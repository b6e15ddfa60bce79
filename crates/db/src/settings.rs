//! The table `settings`: a workspace's settings and its own model key, both encrypted.

use chrono::{DateTime, Utc};
use models::{TenantId, WorkspaceSettings};
use secrecy::{ExposeSecret, SecretString};

use crate::keys::{self, ColumnRef};
use crate::{DbError, Tx};

pub(crate) const SETTINGS_BODY: ColumnRef = ColumnRef { table: "settings", column: "body" };
pub(crate) const MODEL_KEY: ColumnRef = ColumnRef { table: "settings", column: "model_key" };

/// Characters of a key that are kept to recognize it.
const MODEL_KEY_HINT_CHARS: usize = 4;

/// The settings as stored.
#[derive(Clone, Debug, Default)]
pub struct TenantConfig {
    /// The settings.
    pub settings: WorkspaceSettings,
    /// The workspace's own model key.
    pub model_key: Option<SecretString>,
    /// Last characters of that key.
    pub model_key_hint: Option<String>,
    /// User and time of the last change.
    pub changed: Option<(String, DateTime<Utc>)>,
}

/// Returns a workspace's settings, or the defaults if none are stored.
pub async fn find(tx: &mut Tx, tenant_id: &TenantId) -> Result<TenantConfig, DbError> {
    let row = sqlx::query!(
        "select body, model_key, model_key_hint, changed_by, changed_at from settings where tenant_id = $1",
        tenant_id.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(TenantConfig::default()) };
    let body = keys::open(tx, tenant_id, SETTINGS_BODY, &row.body).await?;
    let model_key = match row.model_key {
        Some(sealed) => Some(keys::open(tx, tenant_id, MODEL_KEY, &sealed).await?),
        None => None,
    };
    Ok(TenantConfig {
        settings: serde_json::from_str(body.expose_secret())?,
        model_key,
        model_key_hint: row.model_key_hint,
        changed: Some((row.changed_by, row.changed_at)),
    })
}

/// Stores a workspace's settings.
pub async fn set(
    tx: &mut Tx,
    tenant_id: &TenantId,
    settings: &WorkspaceSettings,
    changed_by: &str,
) -> Result<(), DbError> {
    let body = keys::current(tx, tenant_id)
        .await?
        .seal(SETTINGS_BODY.binding(tenant_id), &serde_json::to_string(settings)?)?;
    sqlx::query!(
        "insert into settings (tenant_id, body, memory_days, changed_by) values ($1, $2, $3, $4)
         on conflict (tenant_id) do update set body = excluded.body, memory_days = excluded.memory_days,
             changed_by = excluded.changed_by, changed_at = now()",
        tenant_id.as_str(),
        body,
        settings.memory_days,
        changed_by,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores or deletes the workspace's own model key.
pub async fn set_model_key(
    tx: &mut Tx,
    tenant_id: &TenantId,
    model_key: Option<&SecretString>,
    changed_by: &str,
) -> Result<(), DbError> {
    // The row must exist.
    let settings = find(tx, tenant_id).await?.settings;
    set(tx, tenant_id, &settings, changed_by).await?;
    let key = keys::current(tx, tenant_id).await?;
    let sealed = model_key
        .map(|model_key| key.seal(MODEL_KEY.binding(tenant_id), model_key.expose_secret()))
        .transpose()?;
    sqlx::query!(
        "update settings set model_key = $2, model_key_hint = $3 where tenant_id = $1",
        tenant_id.as_str(),
        sealed,
        model_key.map(|model_key| key_hint(model_key.expose_secret())),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the last characters; of a short key, fewer than half.
fn key_hint(key: &str) -> String {
    let count = key.chars().count();
    key.chars().skip(count - MODEL_KEY_HINT_CHARS.min(count / 3)).collect()
}

/// Records that people are about to be told that the budget is nearly used up. Returns false if this was done
/// this month.
pub async fn mark_budget_notified(tx: &mut Tx, tenant_id: &TenantId) -> Result<bool, DbError> {
    ensure_stored(tx, tenant_id).await?;
    let noted = sqlx::query!(
        "update settings set budget_notified_at = now()
         where tenant_id = $1
           and (budget_notified_at is null or budget_notified_at < date_trunc('month', now() at time zone 'UTC') at time zone 'UTC')",
        tenant_id.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Stores default settings if there are none: the operator's ceiling is a budget of such a workspace too.
async fn ensure_stored(tx: &mut Tx, tenant_id: &TenantId) -> Result<(), DbError> {
    let id = tenant_id.as_str();
    let count = async |tx: &mut Tx| {
        sqlx::query_scalar!(r#"select count(*) as "count!" from settings where tenant_id = $1"#, id)
            .fetch_one(tx)
            .await
    };
    if count(tx).await? > 0 {
        return Ok(());
    }
    // Until now reservations lock the workspace itself.
    sqlx::query!("select true as locked from tenants where tenant_id = $1 for no key update", id)
        .fetch_optional(&mut *tx)
        .await?;
    if count(tx).await? == 0 {
        set(tx, tenant_id, &WorkspaceSettings::default(), "enablebot").await?;
    }
    Ok(())
}

/// Counts the messages older than `days` days.
pub async fn count_messages_older_than(tx: &mut Tx, tenant_id: &TenantId, days: i32) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from chat_memory
           where tenant_id = $1 and created_at < now() - make_interval(days => $2)"#,
        tenant_id.as_str(),
        days,
    )
    .fetch_one(tx)
    .await?)
}

/// Deletes one batch of messages older than each workspace's retention, and returns their number.
pub async fn purge_expired_messages(tx: &mut Tx) -> Result<u64, DbError> {
    let forgotten = sqlx::query!(
        "with old as (
             select t.tenant_id, t.channel_id, t.thread_ts, t.message_id
             from settings s
             cross join lateral (
                 select t.tenant_id, t.channel_id, t.thread_ts, t.message_id from chat_memory t
                 where t.tenant_id = s.tenant_id and t.created_at < now() - make_interval(days => s.memory_days)
                 order by t.created_at limit 1000) as t
             where s.memory_days is not null limit 10000)
         delete from chat_memory t using old o
         where (t.tenant_id, t.channel_id, t.thread_ts, t.message_id) = (o.tenant_id, o.channel_id, o.thread_ts, o.message_id)",
    )
    .execute(tx)
    .await?;
    Ok(forgotten.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::key_hint;

    #[test]
    fn key_hint_reveals_few_characters() {
        assert_eq!([key_hint("sk-abcdefghijkl"), key_hint("abcdef"), key_hint("ab")], ["ijkl", "ef", ""]);
    }
}
