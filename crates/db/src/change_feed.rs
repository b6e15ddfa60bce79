//! Listens for changes of tenants, installations and settings (`migrations/0001_tenants.sql`). A process
//! checks that it still receives notifications by sending itself a heartbeat.

use std::time::{Duration, Instant};

use models::TenantId;
use sqlx::postgres::PgListener;
use uuid::Uuid;

use crate::{Db, DbError, PinnedConnection, listener};

/// Channel of the triggers; the payload is the tenant id.
const CHANGE_CHANNEL: &str = "enablebot_changes";

/// A received notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeEvent {
    /// Something changed for this tenant.
    Tenant(TenantId),
    /// The session broke and was reopened: anything may have changed.
    All,
    /// The heartbeat sent at this time came back. Postgres delivers notifications in the order of commits, so
    /// all earlier commits have been received.
    Heartbeat(Instant),
}

/// The heartbeat that a process sends to itself to check that notifications arrive.
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
    /// Sends a heartbeat through the pool. Behind a transaction pooler it never comes back.
    ///
    /// # Errors
    /// Postgres does not respond.
    pub async fn send(&self, db: &Db) -> Result<(), DbError> {
        let (channel, micros) = (&self.channel, self.started_at.elapsed().as_micros());
        // A heartbeat need not survive a crash.
        let statement =
            format!("set local synchronous_commit = off; select pg_notify('{channel}', '{micros}')");
        PinnedConnection::new(db).fetch_one(&statement).await?;
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
    /// Postgres cannot be reached without the pooler.
    pub async fn listen(db: &Db, heartbeat: &FeedHeartbeat) -> Result<Self, DbError> {
        let listener = listener::open(db, [CHANGE_CHANNEL, &heartbeat.channel]).await?;
        Ok(Self { listener, heartbeat: heartbeat.clone() })
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// The session could not be reopened.
    pub async fn recv(&mut self) -> Result<ChangeEvent, DbError> {
        let Some(notification) = self.listener.try_recv().await? else { return Ok(ChangeEvent::All) };
        Ok(match notification.channel() {
            CHANGE_CHANNEL => ChangeEvent::Tenant(notification.payload().into()),
            _ => self
                .heartbeat
                .parse_sent_at(notification.payload())
                .map_or(ChangeEvent::All, ChangeEvent::Heartbeat),
        })
    }
}
