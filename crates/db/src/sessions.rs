//! The table `sessions`: signed-in users of the dashboard. Only a digest of the cookie is stored.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use models::{EnterpriseId, TeamId, TenantId, UserId};
use secrecy::ExposeSecret;

use crate::keys::{self, ColumnRef};
use crate::{DbError, Tx};

pub(crate) const SESSION_NAME: ColumnRef = ColumnRef { table: "sessions", column: "name" };
pub(crate) const SESSION_EMAIL: ColumnRef = ColumnRef { table: "sessions", column: "email" };

/// Seconds after which an unused session expires, and after which any session expires.
const SESSION_IDLE_TIMEOUT_SECONDS: f64 = 8.0 * 3_600.0;
const MAX_SESSION_SECONDS: f64 = 7.0 * 24.0 * 3_600.0;

/// A signed-in user.
#[derive(Clone, Debug)]
pub struct DashboardSession {
    /// Tenant whose dashboard it is.
    pub tenant_id: TenantId,
    /// Id of the user.
    pub user_id: UserId,
    /// Name of the user.
    pub name: String,
    /// Email address, if Slack has verified it.
    pub email: Option<String>,
    /// Workspace that they signed in with.
    pub team_id: Option<TeamId>,
    /// Organisation of that workspace, on Enterprise Grid.
    pub enterprise_id: Option<EnterpriseId>,
    /// True if Slack reported them as an admin or owner.
    pub is_admin: bool,
    /// Time of that report; the epoch if Slack gave none.
    pub checked_at: DateTime<Utc>,
}

/// An active session, with facts about its user and workspace.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    /// The session.
    pub session: DashboardSession,
    /// True if an admin named them a manager.
    pub is_named_manager: bool,
    /// Reason given by the operator who suspended the workspace, if it is suspended.
    pub suspended_reason: Option<String>,
}

/// Stores a session, and deletes expired ones.
pub async fn insert(tx: &mut Tx, digest: &[u8], session: &DashboardSession) -> Result<(), DbError> {
    let tenant_id = &session.tenant_id;
    let key = keys::current(tx, tenant_id).await?;
    let email =
        session.email.as_ref().map(|email| key.seal(SESSION_EMAIL.binding(tenant_id), email)).transpose()?;
    sqlx::query!(
        "delete from sessions where seen_at < now() - make_interval(secs => $1)
             or created_at < now() - make_interval(secs => $2)",
        SESSION_IDLE_TIMEOUT_SECONDS,
        MAX_SESSION_SECONDS,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into sessions
             (session_digest, tenant_id, user_id, name, is_admin, email, team_id, enterprise_id, checked_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        digest,
        tenant_id.as_str(),
        session.user_id.as_str(),
        key.seal(SESSION_NAME.binding(tenant_id), &session.name)?,
        session.is_admin,
        email,
        session.team_id.as_ref().map(TeamId::as_str),
        session.enterprise_id.as_ref().map(EnterpriseId::as_str),
        session.checked_at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the sessions with these digests and records their use. Unknown or expired sessions, and those
/// whose bot was removed, are left out, and so are unreadable ones. This query returns the tenant, so it cannot
/// be limited to one.
pub async fn load_all(tx: &mut Tx, digests: &[Vec<u8>]) -> Result<HashMap<Vec<u8>, SessionRecord>, DbError> {
    // The use is recorded at most once a minute, because a page makes many requests. A row locked by a
    // concurrent request is skipped.
    let rows = sqlx::query!(
        r#"with touched as (
               update sessions set seen_at = now() where session_digest in (
                   select session_digest from sessions
                   where session_digest = any($1) and seen_at < now() - interval '1 minute'
                     and seen_at > now() - make_interval(secs => $2) for update skip locked))
           select session_digest, tenant_id, user_id, sessions.name, email, is_admin, checked_at, suspended_reason,
                  sessions.team_id, sessions.enterprise_id,
                  exists (select from managers where managers.tenant_id = sessions.tenant_id
                              and managers.user_id = sessions.user_id) as "is_named_manager!"
           from sessions join installations using (tenant_id) join tenants using (tenant_id)
           where session_digest = any($1) and seen_at > now() - make_interval(secs => $2)
             and sessions.created_at > now() - make_interval(secs => $3)"#,
        digests,
        SESSION_IDLE_TIMEOUT_SECONDS,
        MAX_SESSION_SECONDS,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let tenant_id = TenantId::new(row.tenant_id);
        let (name, email) = match open_person(tx, &tenant_id, &row.name, row.email.as_deref()).await {
            Ok(opened) => opened,
            // One unreadable row must not sign out, or fail, whoever is looked up with it.
            Err(error) if error.is_unreadable() => {
                tracing::error!(%tenant_id, user_id = row.user_id, error = %error, "session unreadable");
                continue;
            }
            Err(error) => return Err(error),
        };
        let session = DashboardSession {
            tenant_id,
            user_id: row.user_id.into(),
            name,
            email,
            team_id: row.team_id.map(Into::into),
            enterprise_id: row.enterprise_id.map(Into::into),
            is_admin: row.is_admin,
            checked_at: row.checked_at,
        };
        let (is_named_manager, suspended_reason) = (row.is_named_manager, row.suspended_reason);
        found.insert(row.session_digest, SessionRecord { session, is_named_manager, suspended_reason });
    }
    Ok(found)
}

/// Decrypts the name and the email address of a session.
async fn open_person(
    tx: &mut Tx,
    tenant_id: &TenantId,
    name: &[u8],
    email: Option<&[u8]>,
) -> Result<(String, Option<String>), DbError> {
    let name = keys::open(tx, tenant_id, SESSION_NAME, name).await?.expose_secret().to_owned();
    let Some(email) = email else { return Ok((name, None)) };
    let email = keys::open(tx, tenant_id, SESSION_EMAIL, email).await?.expose_secret().to_owned();
    Ok((name, Some(email)))
}

/// Updates a person's admin status in all their sessions, with the time at which Slack reported it.
pub async fn set_admin(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    is_admin: bool,
    checked_at: DateTime<Utc>,
) -> Result<(), DbError> {
    sqlx::query!(
        "update sessions set is_admin = $3, checked_at = $4 where tenant_id = $1 and user_id = $2",
        tenant_id.as_str(),
        user_id.as_str(),
        is_admin,
        checked_at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes a session.
pub async fn delete(tx: &mut Tx, digest: &[u8]) -> Result<(), DbError> {
    sqlx::query!("delete from sessions where session_digest = $1", digest).execute(tx).await?;
    Ok(())
}

/// Deletes all sessions of a person.
pub async fn delete_all(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<(), DbError> {
    sqlx::query!(
        "delete from sessions where tenant_id = $1 and user_id = $2",
        tenant_id.as_str(),
        user_id.as_str()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the tenant for people of a workspace: the workspace's own installation, or that of an organisation
/// that includes the workspace.
pub async fn find_tenant(tx: &mut Tx, team_id: &str) -> Result<Option<TenantId>, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select tenant_id as "tenant_id!" from (
               select tenant_id, 0 as place from installations where tenant_id = $1
               union all
               select tenant_id, 1 from team_access join installations using (tenant_id)
               where team_access.team_id = $1) as found
           order by place limit 1"#,
        team_id,
    )
    .fetch_optional(tx)
    .await?
    .map(TenantId::new))
}
