//! Hears of new events at once. It needs a session of its own, past the pooler; without it workers poll.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use uuid::Uuid;

use crate::{Db, DbError};

/// Notified by `drain_inbox`.
const EVENT_CHANNEL: &str = "enablebot_events";

/// Notified by `deliveries::insert`; what `api` itself stores it need not be told of.
pub(crate) const INBOX_CHANNEL: &str = "enablebot_deliveries";

/// Notified by `events::request_stop`, with the event's number.
const STOP_CHANNEL: &str = "enablebot_stops";

/// How long a session may take to open, also anew where it broke; after that all addresses are tried.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueNotification {
    /// There are new events; or the session broke and was opened anew, and there may be.
    Events,
    /// There is something to be sorted.
    InboxWritten,
    /// The answer to the event of this number is unwanted.
    Stop(i64),
}

/// A session that listens for what is new and for stops.
#[derive(Debug)]
pub struct EventListener(PgListener);

impl EventListener {
    /// Opens the session.
    ///
    /// # Errors
    /// Postgres cannot be reached past the pooler.
    pub async fn connect(db: &Db) -> Result<Self, DbError> {
        Ok(Self(open(db, [EVENT_CHANNEL, INBOX_CHANNEL, STOP_CHANNEL]).await?))
    }

    /// Waits for what happens next.
    ///
    /// # Errors
    /// The session could not be opened anew.
    pub async fn recv(&mut self) -> Result<QueueNotification, DbError> {
        let Some(notification) = self.0.try_recv().await? else { return Ok(QueueNotification::Events) };
        Ok(match (notification.channel(), notification.payload().parse()) {
            (STOP_CHANNEL, Ok(seq)) => QueueNotification::Stop(seq),
            (INBOX_CHANNEL, _) => QueueNotification::InboxWritten,
            _ => QueueNotification::Events,
        })
    }
}

/// Opens a session past the pooler that listens on these channels, and tells `db` whether there is a pooler.
///
/// # Errors
/// [`DbError::NoDirectSession`] where no way past is named and there is a pooler, or Postgres cannot be reached.
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

/// Opens one with a mark, which a pooler refuses or keeps to itself.
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
