//! Hears of each change of a tenant, its installation and its settings (`migrations/0030_changes.sql`), and knows that it
//! does: what it says itself has to come back.

use std::time::{Duration, Instant};

use models::TenantId;
use sqlx::postgres::PgListener;
use uuid::Uuid;

use crate::{Db, DbError, Session, listener};

/// Notified by the triggers, with the tenant.
const CHANGES: &str = "enablebot_changes";

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something of this tenant has changed.
    Of(TenantId),
    /// The session broke and was opened anew: anything may have changed.
    Any,
    /// What was said at this moment came back. Postgres tells in the order of the commits, so all that was committed before
    /// has been heard.
    Echo(Instant),
}

/// Of what a process says itself, to hear whether it hears.
#[derive(Clone, Debug)]
pub struct Echo {
    channel: String,
    begun: Instant,
}

/// A session that listens for changes.
#[derive(Debug)]
pub struct Changes {
    listener: PgListener,
    echo: Echo,
}

impl Default for Echo {
    fn default() -> Self {
        Self { channel: format!("enablebot_echo_{}", Uuid::new_v4().simple()), begun: Instant::now() }
    }
}

impl Echo {
    /// Says something, by way of the pool: through a pooler that keeps no sessions it never comes back.
    ///
    /// # Errors
    /// Postgres does not answer.
    pub async fn say(&self, db: &Db) -> Result<(), DbError> {
        let (channel, micros) = (&self.channel, self.begun.elapsed().as_micros());
        // Nobody has to find it after a crash.
        let told = format!("set local synchronous_commit = off; select pg_notify('{channel}', '{micros}')");
        Session::new(db).fetch_one(&told).await?;
        Ok(())
    }

    fn moment(&self, payload: &str) -> Option<Instant> {
        Some(self.begun + Duration::from_micros(payload.parse().ok()?))
    }
}

impl Changes {
    /// Opens the session.
    ///
    /// # Errors
    /// Postgres cannot be reached past the pooler.
    pub async fn listen(db: &Db, echo: &Echo) -> Result<Self, DbError> {
        let listener = listener::open(db, [CHANGES, &echo.channel]).await?;
        Ok(Self { listener, echo: echo.clone() })
    }

    /// Waits for what happens next.
    ///
    /// # Errors
    /// The session could not be opened anew.
    pub async fn heard(&mut self) -> Result<Change, DbError> {
        let Some(told) = self.listener.try_recv().await? else { return Ok(Change::Any) };
        Ok(match told.channel() {
            CHANGES => Change::Of(told.payload().into()),
            _ => self.echo.moment(told.payload()).map_or(Change::Any, Change::Echo),
        })
    }
}
