//! Hears of each change of a tenant, its installation and its settings (`migrations/0030_changes.sql`), and knows that it
//! does: what it says itself has to come back.

use std::time::{Duration, Instant};

use models::TenantId;
use sqlx::postgres::PgListener;
use uuid::Uuid;

use crate::{Db, DbError, PinnedConnection, listener};

/// Notified by the triggers, with the tenant.
const CHANGE_CHANNEL: &str = "enablebot_changes";

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeEvent {
    /// Something of this tenant has changed.
    Tenant(TenantId),
    /// The session broke and was opened anew: anything may have changed.
    All,
    /// What was said at this moment came back. Postgres tells in the order of the commits, so all that was committed before
    /// has been heard.
    Heartbeat(Instant),
}

/// Of what a process says itself, to hear whether it hears.
#[derive(Clone, Debug)]
pub struct FeedHeartbeat {
    channel: String,
    started_at: Instant,
}

/// A session that listens for changes.
#[derive(Debug)]
pub struct ChangeListener {
    listener: PgListener,
    heartbeat: FeedHeartbeat,
}

impl Default for FeedHeartbeat {
    fn default() -> Self {
        Self { channel: format!("enablebot_echo_{}", Uuid::new_v4().simple()), started_at: Instant::now() }
    }
}

impl FeedHeartbeat {
    /// Says something, by way of the pool: through a pooler that keeps no sessions it never comes back.
    ///
    /// # Errors
    /// Postgres does not answer.
    pub async fn send(&self, db: &Db) -> Result<(), DbError> {
        let (channel, micros) = (&self.channel, self.started_at.elapsed().as_micros());
        // Nobody has to find it after a crash.
        let told = format!("set local synchronous_commit = off; select pg_notify('{channel}', '{micros}')");
        PinnedConnection::new(db).fetch_one(&told).await?;
        Ok(())
    }

    fn parse_sent_at(&self, payload: &str) -> Option<Instant> {
        Some(self.started_at + Duration::from_micros(payload.parse().ok()?))
    }
}

impl ChangeListener {
    /// Opens the session.
    ///
    /// # Errors
    /// Postgres cannot be reached past the pooler.
    pub async fn listen(db: &Db, echo: &FeedHeartbeat) -> Result<Self, DbError> {
        let listener = listener::open(db, [CHANGE_CHANNEL, &echo.channel]).await?;
        Ok(Self { listener, heartbeat: echo.clone() })
    }

    /// Waits for what happens next.
    ///
    /// # Errors
    /// The session could not be opened anew.
    pub async fn recv(&mut self) -> Result<ChangeEvent, DbError> {
        let Some(told) = self.listener.try_recv().await? else { return Ok(ChangeEvent::All) };
        Ok(match told.channel() {
            CHANGE_CHANNEL => ChangeEvent::Tenant(told.payload().into()),
            _ => {
                self.heartbeat.parse_sent_at(told.payload()).map_or(ChangeEvent::All, ChangeEvent::Heartbeat)
            }
        })
    }
}
