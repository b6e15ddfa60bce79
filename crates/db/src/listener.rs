//! Hears of new events at once. It needs a session of its own, past the pooler; without it workers poll.

use sqlx::postgres::{PgListener, PgPoolOptions};

use crate::{Db, DbError};

/// Notified by `enqueue_events`.
const CHANNEL: &str = "enablebot_events";

/// A session that listens for new events.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Listener {
    /// Opens the session.
    ///
    /// # Errors
    /// Postgres cannot be reached past the pooler.
    pub async fn connect(db: &Db) -> Result<Self, DbError> {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(db.direct().clone()).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// Waits until somebody stored events, or the session broke: then it is opened anew and this returns, since
    /// something may have been missed.
    ///
    /// # Errors
    /// The session could not be opened anew.
    pub async fn heard(&mut self) -> Result<(), DbError> {
        self.0.try_recv().await?;
        while self.0.next_buffered().is_some() {}
        Ok(())
    }
}
