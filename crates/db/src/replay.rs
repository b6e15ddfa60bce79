//! Repeats deletions after a restore of an older backup: the tombstones that were imported are compared with the
//! restored tenants and people.

use models::{TenantId, UserId};
use serde_json::json;

use crate::audit_log::{self, AuditAction};
use crate::tombstones::{self, Pending, TombstoneKind};
use crate::{Db, DbError, Tx, forgetting, tenants};

/// What a replay deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Tenants whose data was deleted again.
    pub tenants: usize,
    /// People who were forgotten again.
    pub people: usize,
}

/// Deletes the tenants and forgets the people of all tombstones that are pending. What is newer than a tombstone
/// stays: a tenant that installed the bot again, and what a person wrote since.
///
/// # Errors
/// [`DbError::UnknownTombstoneKey`], and nothing was deleted; or Postgres does not respond, and a second call
/// continues.
pub async fn replay(db: &Db) -> Result<Replayed, DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    let deleted = tombstones::load_pending(&mut tx, TombstoneKind::Tenant).await?;
    let forgotten = tombstones::load_pending(&mut tx, TombstoneKind::Person).await?;
    drop(tx);
    let mut replayed = Replayed::default();
    if deleted.is_empty() && forgotten.is_empty() {
        return Ok(replayed);
    }
    forgetting::settle_inbox(db).await?;
    for tenant_id in list_tenants(db).await? {
        if delete_again(db, &tenant_id, &deleted).await? {
            replayed.tenants += 1;
        } else if !forgotten.is_empty() {
            replayed.people += forget_again(db, &tenant_id, &forgotten).await?;
        }
    }
    let mut tx = db.begin_cross_tenant().await?;
    tombstones::mark_replayed(&mut tx).await?;
    tx.commit().await?;
    Ok(replayed)
}

async fn list_tenants(db: &Db) -> Result<Vec<TenantId>, DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    let ids =
        sqlx::query_scalar!("select tenant_id from tenants order by tenant_id").fetch_all(&mut tx).await?;
    Ok(ids.into_iter().map(TenantId::from).collect())
}

/// Deletes a tenant that is older than its tombstone. Returns whether it was deleted.
async fn delete_again(db: &Db, tenant_id: &TenantId, pending: &Pending) -> Result<bool, DbError> {
    let mut tx = db.begin(tenant_id).await?;
    let Some(deleted_at) = pending.find_tenant(&tx, tenant_id) else { return Ok(false) };
    tenants::lock_threads(&mut tx, tenant_id).await?;
    let is_older = sqlx::query_scalar!(
        r#"select created_at < $2 as "older!" from tenants where tenant_id = $1 for update"#,
        tenant_id.as_str(),
        deleted_at,
    )
    .fetch_optional(&mut tx)
    .await?;
    if is_older != Some(true) {
        return Ok(false);
    }
    let reason = "deleted before, and restored from an older backup";
    let deletion = tenants::delete(&mut tx, tenant_id, reason).await?;
    tenants::write_receipt(&mut tx, tenant_id, &deletion).await?;
    tx.commit().await?;
    Ok(true)
}

/// Forgets the people of a tenant who have a tombstone. Returns their number.
async fn forget_again(db: &Db, tenant_id: &TenantId, pending: &Pending) -> Result<usize, DbError> {
    let people = list_people(&mut db.begin(tenant_id).await?, tenant_id).await?;
    let mut count = 0;
    for user_id in people {
        let mut tx = db.begin(tenant_id).await?;
        let Some(forgotten_at) = pending.find_person(&tx, tenant_id, &user_id) else { continue };
        let forgotten = forgetting::forget(&mut tx, tenant_id, &user_id, Some(forgotten_at)).await?;
        let mut detail = json!(forgotten);
        detail["replayed"] = json!(forgotten_at);
        audit_log::insert(&mut tx, tenant_id, "enablebot", AuditAction::PersonForgotten, detail).await?;
        tx.commit().await?;
        count += 1;
    }
    Ok(count)
}

/// Lists everybody of whom something is stored.
async fn list_people(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<UserId>, DbError> {
    tx.disable_statement_timeout().await?;
    let ids = sqlx::query_scalar!(
        r#"select user_id as "user_id!" from (
               select user_id from people where tenant_id = $1
               union select user_id from chat_memory where tenant_id = $1
               union select user_id from usage where tenant_id = $1
               union select user_id from reservations where tenant_id = $1
               union select user_id from feedback where tenant_id = $1
               union select user_id from events where tenant_id = $1 and (outcome is null or outcome is not null)
               union select user_id from event_history where tenant_id = $1
               union select user_id from ignored_events where tenant_id = $1
               union select user_id from sessions where tenant_id = $1
               union select user_id from managers where tenant_id = $1
               union select granted_by from managers where tenant_id = $1
               union select installed_by from installations where tenant_id = $1
               union select changed_by from settings where tenant_id = $1
               union select created_by from api_keys where tenant_id = $1
               union select started_by from exports where tenant_id = $1) as everybody
           where user_id is not null and user_id <> 'forgotten' and user_id not like 'key:%' order by user_id"#,
        tenant_id.as_str(),
    )
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(UserId::from).collect())
}
