//! The table `tenant_rules`: what operators decided about workspaces whose data is deleted. A new install gets
//! it back, so that nobody ends a suspension by uninstalling.

use chrono::{DateTime, Utc};
use models::TenantId;

use crate::{DbError, Tx};

/// A rule about a tenant whose data is deleted.
#[derive(Clone, Debug)]
pub struct KeptRule {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Its weight in the queue.
    pub weight: i32,
    /// Reason given by the operator who suspended it, if it is suspended.
    pub suspended_reason: Option<String>,
    /// Time of the deletion.
    pub kept_at: DateTime<Utc>,
}

/// Keeps the rules of a tenant that is about to be deleted, if there are any.
pub(crate) async fn keep(tx: &mut Tx, tenant_id: &TenantId) -> Result<(), DbError> {
    sqlx::query!(
        "insert into tenant_rules (tenant_id, weight, suspended_at, suspended_reason)
         select tenant_id, weight, suspended_at, suspended_reason from tenants
         where tenant_id = $1 and (weight <> 1 or suspended_at is not null)
         on conflict (tenant_id) do update set
             weight = excluded.weight, suspended_at = excluded.suspended_at,
             suspended_reason = excluded.suspended_reason, kept_at = now()",
        tenant_id.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives a tenant that was just created the rules that were kept for it.
pub(crate) async fn restore(tx: &mut Tx, tenant_id: &TenantId) -> Result<(), DbError> {
    sqlx::query!(
        "with kept as (delete from tenant_rules where tenant_id = $1 returning *)
         update tenants t set weight = kept.weight, suspended_at = kept.suspended_at,
                              suspended_reason = kept.suspended_reason
         from kept where t.tenant_id = kept.tenant_id and t.tenant_id = $1",
        tenant_id.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lists the rules that are kept for tenants whose data is deleted.
pub async fn list_kept(tx: &mut Tx) -> Result<Vec<KeptRule>, DbError> {
    Ok(sqlx::query_as!(
        KeptRule,
        "select tenant_id, weight, suspended_reason, kept_at from tenant_rules order by tenant_id",
    )
    .fetch_all(tx)
    .await?)
}

/// Sets the weight that a tenant without data gets with its next install. Returns false if no rule is kept.
pub async fn set_weight(tx: &mut Tx, tenant_id: &TenantId, weight: i32) -> Result<bool, DbError> {
    let set =
        sqlx::query!("update tenant_rules set weight = $2 where tenant_id = $1", tenant_id.as_str(), weight)
            .execute(tx)
            .await?;
    Ok(set.rows_affected() == 1)
}

/// Ends the suspension of a tenant without data. Returns false if it was not suspended.
pub async fn resume(tx: &mut Tx, tenant_id: &TenantId) -> Result<bool, DbError> {
    let resumed = sqlx::query!(
        "update tenant_rules set suspended_at = null, suspended_reason = null
         where tenant_id = $1 and suspended_at is not null",
        tenant_id.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(resumed.rows_affected() == 1)
}
