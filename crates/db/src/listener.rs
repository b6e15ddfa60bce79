//! Listens for new events. LISTEN needs a session without a pooler; without one, workers poll.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use uuid::Uuid;

use crate::{Db, DbError};

/// Channel that `inbox_drain` notifies.
const EVENT_CHANNEL: &str = "enablebot_events";

/// Channel that `event_inbox::append` notifies; `api` needs no notification of its own batches.
pub(crate) const INBOX_CHANNEL: &str = "enablebot_inbox";

/// Channel that `events::request_stop` notifies; the payload is the event's number.
const STOP_CHANNEL: &str = "enablebot_stops";

/// Timeout for opening or reopening a session; after that all addresses are tried.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A received notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueNotification {
    /// There are new events, or there may be because the session broke and was reopened.
    Events,
    /// The inbox has new batches.
    InboxWritten,
    /// A stop was requested for the event with this number.
    Stop(i64),
}

/// A session that listens for new events and stop requests.
#[derive(Debug)]
pub struct EventListener(PgListener);

impl EventListener {
    /// Opens the session.
    ///
    /// # Errors
    /// Postgres cannot be reached without the pooler.
    pub async fn connect(db: &Db) -> Result<Self, DbError> {
        Ok(Self(open(db, [EVENT_CHANNEL, INBOX_CHANNEL, STOP_CHANNEL]).await?))
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// The session could not be reopened.
    pub async fn recv(&mut self) -> Result<QueueNotification, DbError> {
        let Some(notification) = self.0.try_recv().await? else { return Ok(QueueNotification::Events) };
        Ok(match (notification.channel(), notification.payload().parse()) {
            (STOP_CHANNEL, Ok(seq)) => QueueNotification::Stop(seq),
            (INBOX_CHANNEL, _) => QueueNotification::InboxWritten,
            _ => QueueNotification::Events,
        })
    }
}

/// Opens a session without a pooler that listens on these channels, and records in `db` if there is a pooler.
///
/// # Errors
/// [`DbError::NoDirectSession`] if there is a pooler and no direct address, or Postgres cannot be reached.
pub(crate) async fn open<const N: usize>(db: &Db, channels: [&str; N]) -> Result<PgListener, DbError> {
    let (address, connection) = db.direct_addresses().connect_primary().await?;
    connection.close().await?;
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(LISTEN_TIMEOUT);
    let mut listener = match db.has_direct_url() {
        true => PgListener::connect_with(&pool.connect_with(address.clone()).await?).await?,
        false => {
            let opened = open_direct_session(address, pool).await;
            db.set_session_affinity(opened.is_ok());
            opened?
        }
    };
    listener.listen_all(channels).await?;
    Ok(listener)
}

/// Opens a session with a random setting as a marker. A pooler rejects the setting or does not pass it on.
async fn open_direct_session(address: &PgConnectOptions, pool: PgPoolOptions) -> Result<PgListener, DbError> {
    let mark = Uuid::new_v4().to_string();
    let address = address.clone().options([("enablebot.session", &mark)]);
    let pool = match pool.connect_with(address).await {
        Err(sqlx::Error::Database(_)) => return Err(DbError::NoDirectSession),
        pool => pool?,
    };
    let mut listener = PgListener::connect_with(&pool).await?;
    let seen = sqlx::query_scalar!("select current_setting('enablebot.session', true)");
    if seen.fetch_one(&mut listener).await? == Some(mark) {
        Ok(listener)
    } else {
        Err(DbError::NoDirectSession)
    }
}
