//! A connection that is kept across statements, for frequent queries: the pool checks a connection before and
//! after each use, which would cost more than such a statement.

use std::fmt;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Postgres};

use crate::connection::{SET_SEARCH_PATH, SET_SERVICE_ROLE};
use crate::{Db, DbError};

/// Longest time for which a connection is kept; then the pool checks again that it is alive and leads to the
/// primary.
const MAX_PINNED_AGE: Duration = Duration::from_secs(1);

/// Limits a statement to 10 seconds, as in every transaction (`connection.rs`).
const SET_STATEMENT_TIMEOUT: &str = "set local statement_timeout = '10s'; ";

/// Holds at most one connection.
pub struct PinnedConnection {
    db: Db,
    pinned: Option<(PoolConnection<Postgres>, Instant)>,
}

impl fmt::Debug for PinnedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl PinnedConnection {
    /// Creates it without a connection; the first statement opens one.
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone(), pinned: None }
    }

    /// Returns the connection to the pool, for others to use.
    pub fn release(&mut self) {
        self.pinned = None;
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// Runs one statement that returns a row, with its limits, in one round trip. It is committed when this
    /// returns, whatever state the connection was in before. It uses the simple protocol, so it works behind
    /// a transaction pooler. The caller must make sure that no value leaves its literal (`sql_literal.rs`).
    pub(crate) async fn fetch_one(&mut self, statement: &str) -> Result<PgRow, DbError> {
        // The connection is taken out, so it is not reused after an error or a cancelled query. An older one
        // is returned first, because it may be the pool's only one.
        let pinned = self.pinned.take().filter(|(_, since)| since.elapsed() < MAX_PINNED_AGE);
        let (mut connection, since) = match pinned {
            Some(pinned) => pinned,
            None => (self.db.acquire().await?, Instant::now()),
        };
        let sql = AssertSqlSafe(format!(
            "begin; {SET_STATEMENT_TIMEOUT}{SET_SEARCH_PATH}{SET_SERVICE_ROLE}{statement}; commit"
        ));
        let row = sqlx::raw_sql(sql)
            .fetch_one(&mut *connection)
            .await
            .inspect_err(|_| connection.close_on_drop())?;
        self.pinned = Some((connection, since));
        Ok(row)
    }
}
