//! The table `sessions`: signed-in users of the dashboard. Only a digest of the cookie is stored, and a row
//! counts only with the proof that this deployment wrote it.

mod person;
mod proof;

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use crypto::SessionKey;
use models::{EnterpriseId, TeamId, TenantId, UserId};
use secrecy::ExposeSecret;
use uuid::Uuid;

pub use self::person::{ListedSession, delete_all, delete_one, list, set_admin};
use crate::keys::{self, ColumnRef};
use crate::{DbError, Tx, UNPROVEN_ROWS};
use proof::{SessionGrant, SessionTimes};

pub(crate) const SESSION_NAME: ColumnRef = ColumnRef { table: "sessions", column: "name" };
pub(crate) const SESSION_EMAIL: ColumnRef = ColumnRef { table: "sessions", column: "email" };
pub(crate) const SESSION_BROWSER: ColumnRef = ColumnRef { table: "sessions", column: "browser" };

/// An unused session expires after this time, and any session after `MAX_SESSION_AGE`.
const SESSION_IDLE_TIMEOUT: TimeDelta = TimeDelta::hours(8);
const MAX_SESSION_AGE: TimeDelta = TimeDelta::days(7);

/// Interval at which the use of a session is recorded.
const SESSION_TOUCH_INTERVAL: TimeDelta = TimeDelta::minutes(1);

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

/// A row of `sessions`.
struct SessionRow {
    session_digest: Vec<u8>,
    tenant_id: String,
    user_id: String,
    name: Vec<u8>,
    email: Option<Vec<u8>>,
    team_id: Option<String>,
    enterprise_id: Option<String>,
    is_admin: bool,
    checked_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    seen_at: DateTime<Utc>,
    proof: Option<Vec<u8>>,
    session_id: Option<Uuid>,
    browser: Option<Vec<u8>>,
}

/// A session whose proof was verified.
struct ProvenSession {
    session: DashboardSession,
    times: SessionTimes,
}

impl DashboardSession {
    fn grant<'a>(&'a self, session_digest: &'a [u8]) -> SessionGrant<'a> {
        SessionGrant {
            session_digest,
            tenant_id: &self.tenant_id,
            user_id: &self.user_id,
            email: self.email.as_deref(),
            team_id: self.team_id.as_ref(),
            enterprise_id: self.enterprise_id.as_ref(),
            is_admin: self.is_admin,
        }
    }
}

impl SessionRow {
    /// Decrypts the row and verifies its proof; `None`, with a warning, if this deployment did not write it.
    async fn verify(&self, tx: &mut Tx, key: &SessionKey) -> Result<Option<ProvenSession>, DbError> {
        let proven = match self.decrypt(tx).await {
            Ok(mut session) => {
                let (begun_at, seen_at, checked_at) = (self.created_at, self.seen_at, self.checked_at);
                let columns = SessionTimes { begun_at, seen_at, checked_at };
                let grant = session.grant(&self.session_digest);
                grant.verify(key, self.proof.as_deref(), columns).map(|times| {
                    session.checked_at = times.checked_at;
                    ProvenSession { session, times }
                })
            }
            // A row that was moved to another tenant does not decrypt. It fails alone, not its whole batch.
            Err(error) if error.is_unreadable() => {
                let (tenant_id, user_id) = (&self.tenant_id, &self.user_id);
                tracing::error!(tenant_id, user_id, error = %error, "session unreadable");
                None
            }
            Err(error) => return Err(error),
        };
        if proven.is_none() {
            let session_id = self.session_id.map(|id| id.to_string()).unwrap_or_default();
            let (tenant_id, user_id) = (&self.tenant_id, &self.user_id);
            tracing::warn!(tenant_id, user_id, "session without valid proof refused: {session_id}");
            metrics::counter!(UNPROVEN_ROWS, "table" => "sessions").increment(1);
        }
        Ok(proven)
    }

    async fn decrypt(&self, tx: &mut Tx) -> Result<DashboardSession, DbError> {
        let tenant_id = TenantId::new(&self.tenant_id);
        let name = keys::open(tx, &tenant_id, SESSION_NAME, &self.name).await?.expose_secret().to_owned();
        let email = match &self.email {
            Some(email) => {
                Some(keys::open(tx, &tenant_id, SESSION_EMAIL, email).await?.expose_secret().to_owned())
            }
            None => None,
        };
        Ok(DashboardSession {
            tenant_id,
            user_id: self.user_id.as_str().into(),
            name,
            email,
            team_id: self.team_id.as_deref().map(Into::into),
            enterprise_id: self.enterprise_id.as_deref().map(Into::into),
            is_admin: self.is_admin,
            checked_at: self.checked_at,
        })
    }
}

impl ProvenSession {
    fn is_expired(&self, now: DateTime<Utc>) -> bool {
        now - self.times.seen_at > SESSION_IDLE_TIMEOUT || now - self.times.begun_at > MAX_SESSION_AGE
    }
}

/// Stores a session, and deletes expired ones. `browser` is the name of the browser.
pub async fn insert(
    tx: &mut Tx,
    session_key: &SessionKey,
    digest: &[u8],
    session: &DashboardSession,
    browser: &str,
) -> Result<(), DbError> {
    let tenant_id = &session.tenant_id;
    let key = keys::current(tx, tenant_id).await?;
    let email =
        session.email.as_ref().map(|email| key.seal(SESSION_EMAIL.binding(tenant_id), email)).transpose()?;
    let now = sqlx::query_scalar!(
        r#"with expired as (
               delete from sessions where seen_at < now() - make_interval(secs => $1)
                   or created_at < now() - make_interval(secs => $2))
           select now() as "now!""#,
        SESSION_IDLE_TIMEOUT.as_seconds_f64(),
        MAX_SESSION_AGE.as_seconds_f64(),
    )
    .fetch_one(&mut *tx)
    .await?;
    let times = SessionTimes { begun_at: now, seen_at: now, checked_at: session.checked_at };
    sqlx::query!(
        "insert into sessions (session_digest, tenant_id, user_id, name, is_admin, email, team_id, enterprise_id,
                               checked_at, created_at, seen_at, proof, session_id, browser)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, gen_random_uuid(), $12)",
        digest,
        tenant_id.as_str(),
        session.user_id.as_str(),
        key.seal(SESSION_NAME.binding(tenant_id), &session.name)?,
        session.is_admin,
        email,
        session.team_id.as_ref().map(TeamId::as_str),
        session.enterprise_id.as_ref().map(EnterpriseId::as_str),
        session.checked_at,
        now,
        session.grant(digest).prove(session_key, times),
        key.seal(SESSION_BROWSER.binding(tenant_id), browser)?,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the sessions with these digests and records their use. Unknown or expired sessions, those that
/// this deployment did not write, and those whose bot was removed, are left out. This query returns the
/// tenant, so it cannot be limited to one.
pub async fn load_all(
    tx: &mut Tx,
    key: &SessionKey,
    digests: &[Vec<u8>],
) -> Result<HashMap<Vec<u8>, SessionRecord>, DbError> {
    let rows = sqlx::query!(
        r#"select session_digest, tenant_id, user_id, sessions.name, email, is_admin, checked_at, sessions.created_at,
                  seen_at, proof, session_id, browser, suspended_reason, now() as "now!",
                  sessions.team_id, sessions.enterprise_id,
                  exists (select from managers where managers.tenant_id = sessions.tenant_id
                              and managers.user_id = sessions.user_id) as "is_named_manager!"
           from sessions join installations using (tenant_id) join tenants using (tenant_id)
           where session_digest = any($1)"#,
        digests,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut found = HashMap::with_capacity(rows.len());
    let mut renewals = SessionRenewals::default();
    for row in rows {
        let (is_named_manager, suspended_reason, now) = (row.is_named_manager, row.suspended_reason, row.now);
        let row = SessionRow {
            session_digest: row.session_digest,
            tenant_id: row.tenant_id,
            user_id: row.user_id,
            name: row.name,
            email: row.email,
            team_id: row.team_id,
            enterprise_id: row.enterprise_id,
            is_admin: row.is_admin,
            checked_at: row.checked_at,
            created_at: row.created_at,
            seen_at: row.seen_at,
            proof: row.proof,
            session_id: row.session_id,
            browser: row.browser,
        };
        let Some(proven) = row.verify(tx, key).await? else { continue };
        if proven.is_expired(now) {
            continue;
        }
        // The use is recorded at most once a minute, because a page makes many requests.
        if now - proven.times.seen_at > SESSION_TOUCH_INTERVAL {
            renewals.add(&row, &proven, key, now);
        }
        let session = proven.session;
        found.insert(row.session_digest, SessionRecord { session, is_named_manager, suspended_reason });
    }
    renewals.store(tx).await?;
    Ok(found)
}

/// Sessions whose use is to be recorded, with their proofs from before and after.
#[derive(Default)]
struct SessionRenewals {
    digests: Vec<Vec<u8>>,
    old_proofs: Vec<Vec<u8>>,
    new_proofs: Vec<Vec<u8>>,
}

impl SessionRenewals {
    fn add(&mut self, row: &SessionRow, proven: &ProvenSession, key: &SessionKey, now: DateTime<Utc>) {
        let times = SessionTimes { seen_at: now, ..proven.times };
        self.new_proofs.push(proven.session.grant(&row.session_digest).prove(key, times));
        self.digests.push(row.session_digest.clone());
        self.old_proofs.push(row.proof.clone().unwrap_or_default());
    }

    /// Stores the use. A row that a concurrent request has locked or changed is skipped.
    async fn store(self, tx: &mut Tx) -> Result<(), DbError> {
        if self.digests.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "update sessions set seen_at = now(), proof = renewed.new_proof
             from unnest($1::bytea[], $2::bytea[], $3::bytea[]) as renewed (digest, old_proof, new_proof)
             where session_digest = renewed.digest and proof = renewed.old_proof and session_digest in (
                 select session_digest from sessions where session_digest = any($1) for update skip locked)",
            &self.digests,
            &self.old_proofs,
            &self.new_proofs,
        )
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// Deletes a session.
pub async fn delete(tx: &mut Tx, digest: &[u8]) -> Result<(), DbError> {
    sqlx::query!("delete from sessions where session_digest = $1", digest).execute(tx).await?;
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
