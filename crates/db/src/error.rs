//! What can go wrong behind a query.

use crypto::{MasterKeysError, SealError};

/// What can go wrong behind a query.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Postgres, or the way to it.
    #[error(transparent)]
    Postgres(#[from] sqlx::Error),
    /// Postgres says nothing, not even no.
    #[error("Postgres does not answer")]
    Timeout,
    /// The migrations could not be applied.
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// This binary is newer than the schema.
    #[error("the database's schema is {0} migration(s) behind this binary: run `web migrate`")]
    SchemaBehind(usize),
    /// A stored secret does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A data key does not unwrap.
    #[error(transparent)]
    MasterKeys(#[from] MasterKeysError),
    /// A stored body is not what this version writes.
    #[error("a stored event does not read: {0}")]
    Json(#[from] serde_json::Error),
    /// Another worker holds the thread by now; nothing was written.
    #[error("the lease on the thread is lost")]
    LeaseLost,
    /// A workspace got a new key again and again while something of it was stored.
    #[error("the workspace's key changed while this was stored")]
    KeyChanged,
    /// The database has a column that may be sealed and that this binary does not know.
    #[error(
        "the column {0} is unknown to this release, and what it holds might be lost with its key: use the release of the schema"
    )]
    UnknownColumn(String),
    /// Whoever asked for the same at the same time met this.
    #[error(transparent)]
    Shared(#[from] std::sync::Arc<DbError>),
    /// Nothing can be listened to: what others send would be told to whoever has the session next.
    #[error(
        "DATABASE_URL leads to a pooler, whose sessions are not one's own: name the way past it in DATABASE_DIRECT_URL"
    )]
    NoDirectSession,
    /// The tenant has no installation.
    #[error("the workspace has no installation")]
    NotInstalled,
}

impl DbError {
    /// What was asked for cannot be a text in Postgres: it holds a NUL.
    pub fn is_invalid_text(&self) -> bool {
        matches!(self, Self::Postgres(sqlx::Error::Database(error)) if error.code().as_deref() == Some("22021"))
    }

    /// Somebody else kept the lock that a statement needed.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        let (Self::Postgres(error) | Self::Migrate(Execute(error) | ExecuteMigration(error, _))) = self
        else {
            return false;
        };
        matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("55P03"))
    }

    /// Two transactions met in opposite order and Postgres ended this one: trying again is right.
    pub fn is_deadlock(&self) -> bool {
        matches!(self, Self::Postgres(sqlx::Error::Database(error)) if error.code().as_deref() == Some("40P01"))
    }
}
