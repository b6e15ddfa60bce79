//! The schema's version: what this binary carries against what the database has.

use sqlx::migrate::{Migrate, Migrator};
use sqlx::{ConnectOptions, Connection};

use crate::{Db, DbError};

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// How the database's schema stands to this binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// All that this binary carries is applied.
    Current,
    /// So many migrations are still to be applied.
    Behind(usize),
}

impl Db {
    /// Applies what is missing, past the pooler, and returns how many that were. Two at once wait for each other.
    ///
    /// # Errors
    /// Postgres does not answer, or an applied migration was changed afterwards.
    pub async fn migrate(&self) -> Result<usize, DbError> {
        let mut connection = self.direct().connect().await?;
        connection.ensure_migrations_table("_sqlx_migrations").await?;
        let before = connection.list_applied_migrations("_sqlx_migrations").await?.len();
        MIGRATOR.run(&mut connection).await?;
        connection.close().await?;
        Ok(MIGRATOR.iter().count().saturating_sub(before))
    }

    /// Compares the newest applied migration with those that this binary carries. A newer schema is no fault: during
    /// an upgrade the old binary still runs.
    pub async fn schema_state(&self) -> Result<SchemaState, DbError> {
        let mut tx = self.begin().await?;
        let known = sqlx::query_scalar!("select to_regclass('_sqlx_migrations') is not null")
            .fetch_one(&mut tx)
            .await?;
        let applied = match known {
            Some(true) => {
                // Not checked at compile time: the table is sqlx's own, made by the first migration.
                sqlx::query_scalar::<_, i64>(
                    "select coalesce(max(version), 0) from _sqlx_migrations where success",
                )
                .fetch_one(&mut tx)
                .await?
            }
            _ => 0,
        };
        let missing = MIGRATOR.iter().filter(|migration| migration.version > applied).count();
        Ok(if missing == 0 { SchemaState::Current } else { SchemaState::Behind(missing) })
    }
}
