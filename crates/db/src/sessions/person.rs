//! All sessions of one person.

use chrono::{DateTime, Utc};
use crypto::SessionKey;
use models::{TenantId, UserId};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::proof::SessionTimes;
use super::{ProvenSession, SESSION_BROWSER, SessionRow};
use crate::{DbError, Tx, keys};

/// A session as shown to its owner.
#[derive(Clone, Debug)]
pub struct ListedSession {
    /// Names the session; it says nothing about the cookie.
    pub session_id: Uuid,
    /// Name of the browser, such as "Firefox on Linux".
    pub browser: String,
    /// Time of the sign-in.
    pub begun_at: DateTime<Utc>,
    /// Time of the last use, accurate to a minute.
    pub seen_at: DateTime<Utc>,
    /// Digest of the cookie.
    pub digest: Vec<u8>,
}

/// Locks and verifies a person's sessions, newest first.
async fn load_person(
    tx: &mut Tx,
    key: &SessionKey,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<Vec<(SessionRow, ProvenSession)>, DbError> {
    let rows = sqlx::query_as!(
        SessionRow,
        "select session_digest, tenant_id, user_id, name, email, team_id, enterprise_id, is_admin, checked_at, created_at,
                seen_at, proof, session_id, browser
         from sessions where tenant_id = $1 and user_id = $2 order by created_at desc for update",
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let now = sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&mut *tx).await?;
    let mut proven = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(session) = row.verify(tx, key).await?.filter(|session| !session.is_expired(now)) {
            proven.push((row, session));
        }
    }
    Ok(proven)
}

/// Updates a person's admin status in all their sessions, with the time at which Slack reported it.
pub async fn set_admin(
    tx: &mut Tx,
    key: &SessionKey,
    tenant_id: &TenantId,
    user_id: &UserId,
    is_admin: bool,
    checked_at: DateTime<Utc>,
) -> Result<(), DbError> {
    for (row, mut proven) in load_person(tx, key, tenant_id, user_id).await? {
        proven.session.is_admin = is_admin;
        let times = SessionTimes { checked_at, ..proven.times };
        sqlx::query!(
            "update sessions set is_admin = $2, checked_at = $3, proof = $4 where session_digest = $1",
            &row.session_digest,
            is_admin,
            checked_at,
            proven.session.grant(&row.session_digest).prove(key, times),
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Lists a person's active sessions, newest first.
pub async fn list(
    tx: &mut Tx,
    key: &SessionKey,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<Vec<ListedSession>, DbError> {
    let mut listed = Vec::new();
    for (row, proven) in load_person(tx, key, tenant_id, user_id).await? {
        let (Some(session_id), Some(browser)) = (row.session_id, row.browser) else { continue };
        let browser = keys::open(tx, tenant_id, SESSION_BROWSER, &browser).await?.expose_secret().to_owned();
        let SessionTimes { begun_at, seen_at, .. } = proven.times;
        listed.push(ListedSession { session_id, browser, begun_at, seen_at, digest: row.session_digest });
    }
    Ok(listed)
}

/// Deletes one of a person's sessions. Returns false if they have no such session.
pub async fn delete_one(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    session_id: Uuid,
) -> Result<bool, DbError> {
    let deleted = sqlx::query!(
        "delete from sessions where tenant_id = $1 and user_id = $2 and session_id = $3",
        tenant_id.as_str(),
        user_id.as_str(),
        session_id,
    )
    .execute(tx)
    .await?;
    Ok(deleted.rows_affected() > 0)
}

/// Deletes all sessions of a person, and returns their number.
pub async fn delete_all(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<u64, DbError> {
    let deleted = sqlx::query!(
        "delete from sessions where tenant_id = $1 and user_id = $2",
        tenant_id.as_str(),
        user_id.as_str()
    )
    .execute(tx)
    .await?;
    Ok(deleted.rows_affected())
}
