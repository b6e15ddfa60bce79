//! A connection that is kept over many statements, for what is done again and again without a pause: the pool looks at a
//! connection before each use and after it, which would cost more than such a statement itself.

use std::fmt;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Postgres};

use crate::connection::SET_SERVICE_ROLE;
use crate::{Db, DbError};

/// For so long; then the pool looks again whether it is alive and leads where it should.
const MAX_PINNED_AGE: Duration = Duration::from_secs(1);

/// A statement has ten seconds, as in every transaction (`connection.rs`).
const SET_STATEMENT_TIMEOUT: &str = "set local statement_timeout = '10s'; ";

/// A place for one connection at a time.
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
    /// Without a connection, until the first statement.
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone(), pinned: None }
    }

    /// Lets the connection go, for others to use meanwhile.
    pub fn release(&mut self) {
        self.pinned = None;
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// Runs one statement that returns a row, with its limits: one message there and one back. It is committed when this
    /// returns, in whatever state the connection was before. By the simple protocol a transaction pooler may stand
    /// between.
    /// Whoever makes the statement sees to it that nothing in it leaves its literal (`literal.rs`).
    pub(crate) async fn fetch_one(&mut self, statement: &str) -> Result<PgRow, DbError> {
        // Taken out: a connection that fails, or whose answer nobody waited for, is not used again from here.
        // An older one goes back first: it may be the only one that there is.
        let kept = self.pinned.take().filter(|(_, since)| since.elapsed() < MAX_PINNED_AGE);
        let (mut connection, since) = match kept {
            Some(kept) => kept,
            None => (self.db.acquire().await?, Instant::now()),
        };
        let sql =
            AssertSqlSafe(format!("begin; {SET_STATEMENT_TIMEOUT}{SET_SERVICE_ROLE}{statement}; commit"));
        let row = sqlx::raw_sql(sql)
            .fetch_one(&mut *connection)
            .await
            .inspect_err(|_| connection.close_on_drop())?;
        self.pinned = Some((connection, since));
        Ok(row)
    }
}
