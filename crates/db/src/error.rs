//! Errors of database operations.

use crypto::{MasterKeysError, SealError};

/// An error of a database operation.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A query failed, or Postgres cannot be reached.
    #[error(transparent)]
    Postgres(sqlx::Error),
    /// The server has no TLS, or a certificate that cannot be verified.
    #[error(
        "the database server could not be verified ({0}): set DATABASE_ROOT_CERT to the file of its root certificate, or add ?sslmode=require to the address to encrypt without verifying"
    )]
    UnverifiedServer(sqlx::Error),
    /// Postgres did not respond in time.
    #[error("Postgres did not respond in time")]
    Timeout,
    /// The migrations failed.
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The binary is newer than the schema.
    #[error("the database schema is {0} migration(s) behind this binary: run `web migrate`")]
    SchemaBehind(usize),
    /// The schema is from a development version before the first release.
    #[error(
        "the schema `enablebot` is from before the first release and cannot be upgraded: drop it with `drop schema enablebot cascade` and run `web migrate`"
    )]
    UnreleasedSchema,
    /// A stored value could not be decrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A data key could not be unwrapped.
    #[error(transparent)]
    MasterKeys(#[from] MasterKeysError),
    /// The migration signs API keys, and there are no master keys to do it.
    #[error(
        "this migration signs the API keys that exist: set ENCRYPTION_KEYS as for the services, and run it again"
    )]
    MasterKeysNeeded,
    /// A stored payload could not be parsed.
    #[error("failed to parse a stored value: {0}")]
    Json(#[from] serde_json::Error),
    /// Another worker holds the thread by now. Nothing was written.
    #[error("the lease on the thread was lost")]
    LeaseLost,
    /// The tenant's key kept changing while its data was being stored.
    #[error("the workspace's key changed while its data was being stored")]
    KeyChanged,
    /// The database has a column that may be encrypted and that this binary does not know.
    #[error(
        "this release does not know the column {0}, whose data might be lost with its key: use the release that matches the schema"
    )]
    UnknownColumn(String),
    /// The error of a query that several callers shared.
    #[error(transparent)]
    Shared(#[from] std::sync::Arc<DbError>),
    /// LISTEN is impossible through a pooler: notifications would reach whichever client has the session
    /// next.
    #[error(
        "DATABASE_URL leads to a pooler, so LISTEN is not possible: set DATABASE_DIRECT_URL to an address without the pooler"
    )]
    NoDirectSession,
    /// The services' login role does not exist.
    #[error(
        "there is no role {0}: create it with `create role {0} login noinherit` in psql, and set its password with `\\password {0}`"
    )]
    UnknownServiceRole(String),
    /// A tombstone cannot be compared with the data, because its master key is missing.
    #[error(
        "a tombstone was made with the master key {0}, which is not in ENCRYPTION_KEYS: add it there (last in the list), so that deletions are replayed, and run `web migrate` again"
    )]
    UnknownTombstoneKey(String),
    /// The tenant has no installation.
    #[error("the workspace has no installation")]
    NotInstalled,
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        // sqlx reports a failed handshake as an I/O error that contains the error of rustls.
        let is_tls = match &error {
            sqlx::Error::Tls(_) => true,
            sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
            _ => false,
        };
        if is_tls { Self::UnverifiedServer(error) } else { Self::Postgres(error) }
    }
}

impl DbError {
    /// Returns whether a parameter was not valid text for Postgres because it contains a NUL.
    pub fn is_invalid_text(&self) -> bool {
        matches!(self, Self::Postgres(sqlx::Error::Database(error)) if error.code().as_deref() == Some("22021"))
    }

    /// Returns whether a stored value or its key cannot be opened, which is the trouble of its tenant alone.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Seal(_) | Self::MasterKeys(_) | Self::Json(_))
    }

    /// Returns whether another tenant may well succeed: Postgres responded, or a stored value is unreadable.
    pub fn is_tenant_specific(&self) -> bool {
        self.is_unreadable()
            || matches!(
                self,
                Self::NotInstalled | Self::KeyChanged | Self::Postgres(sqlx::Error::Database(_))
            )
    }

    /// Returns whether a statement timed out while waiting for a lock.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        let (Self::Postgres(error) | Self::Migrate(Execute(error) | ExecuteMigration(error, _))) = self
        else {
            return false;
        };
        matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("55P03"))
    }

    /// Returns whether Postgres aborted this transaction to resolve a deadlock. A retry is safe.
    pub fn is_deadlock(&self) -> bool {
        matches!(self, Self::Postgres(sqlx::Error::Database(error)) if error.code().as_deref() == Some("40P01"))
    }
}
