//! The table `managers`: people named to manage a workspace, besides those whom Slack calls admin or owner.

use chrono::{DateTime, Utc};
use models::{TenantId, UserId};

use crate::{DbError, Tx};

/// A person who was named a manager.
#[derive(Clone, Debug)]
pub struct NamedManager {
    /// The person.
    pub user_id: UserId,
    /// The person who named them.
    pub granted_by: UserId,
    /// Time at which they were named.
    pub granted_at: DateTime<Utc>,
}

/// Lists the named managers of a tenant, oldest first.
pub async fn list(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<NamedManager>, DbError> {
    let rows = sqlx::query!(
        "select user_id, granted_by, granted_at from managers where tenant_id = $1 order by granted_at, user_id",
        tenant_id.as_str(),
    )
    .fetch_all(tx)
    .await?;
    let manager = |user_id: String, granted_by: String, granted_at| NamedManager {
        user_id: user_id.into(),
        granted_by: granted_by.into(),
        granted_at,
    };
    Ok(rows.into_iter().map(|row| manager(row.user_id, row.granted_by, row.granted_at)).collect())
}

/// Lists the people whom notices for the managers may concern: the named managers first, then those whom Slack
/// called an admin when it was last asked.
pub async fn list_candidates(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<UserId>, DbError> {
    let found = sqlx::query_scalar!(
        r#"select user_id as "user_id!" from (
               select user_id, 0 as place from managers where tenant_id = $1
               union all
               select user_id, 1 from people where tenant_id = $1 and is_admin
               union all
               select user_id, 1 from sessions where tenant_id = $1 and is_admin) as candidates
           group by user_id order by min(place), user_id"#,
        tenant_id.as_str(),
    )
    .fetch_all(tx)
    .await?;
    Ok(found.into_iter().map(UserId::from).collect())
}

/// Names a manager. Returns false if they are one already.
pub async fn insert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    granted_by: &UserId,
) -> Result<bool, DbError> {
    let named = sqlx::query!(
        "insert into managers (tenant_id, user_id, granted_by) values ($1, $2, $3) on conflict do nothing",
        tenant_id.as_str(),
        user_id.as_str(),
        granted_by.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(named.rows_affected() == 1)
}

/// Takes the naming back. Returns false if they were not named.
pub async fn delete(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<bool, DbError> {
    let revoked = sqlx::query!(
        "delete from managers where tenant_id = $1 and user_id = $2",
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(revoked.rows_affected() == 1)
}

/// Returns whether a person was named a manager.
pub async fn contains(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from managers where tenant_id = $1 and user_id = $2) as "named!""#,
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}
