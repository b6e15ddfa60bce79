//! The schema `enablebot` and its version: what this binary carries against what the database has.

use std::time::Duration;

use secrecy::SecretString;
use sqlx::Connection;
use sqlx::migrate::{Migrate, Migrator};

use crate::primary_monitor::Addresses;
use crate::{Db, DbError};

/// sqlx's own.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// All of EnableBot's is in a schema of its own, which Supabase's REST interface does not show.
const ENTER_SCHEMA: &str = "create schema if not exists enablebot; set search_path = enablebot, pg_temp";

/// Until then it was in `public`: it is moved with all that is in it. Two at once wait for each other.
const MOVE_FROM_PUBLIC: &str = include_str!("move_from_public.sql");

/// Two at once wait for each other, for as long as the other takes.
const TAKE_MIGRATION_LOCK: &str = "select pg_advisory_lock(hashtext('enablebot migrate'))";

/// For a table's lock nobody waits long: whatever comes after would stand behind it, and so would every reply.
const SET_LOCK_TIMEOUT: &str = "set lock_timeout = '2s'";

/// What is built concurrently holds nobody up, and waits for whoever is in a transaction.
const DISABLE_LOCK_TIMEOUT: &str = "set lock_timeout = 0";

/// An index whose building broke off is none, and takes its name.
const DROP_INVALID_INDEXES: &str = "do $$ declare _index text; begin
    for _index in select indexrelid::regclass from pg_index join pg_class on oid = indexrelid
        where not indisvalid and relkind = 'i' and relnamespace = 'enablebot'::regnamespace
    loop execute 'drop index ' || _index; end loop; end $$";

/// So often a migration is tried that did not get its locks, with a pause in which others go on.
const MAX_MIGRATE_ATTEMPTS: usize = 30;
const MIGRATE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long the database may take to say that it is there.
const DATABASE_HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

/// How the database is, part by part; `Err` says what is wrong.
#[derive(Clone, Debug)]
pub struct DatabaseHealth {
    /// Whether Postgres answers within a second.
    pub database: Result<(), String>,
    /// Whether all that this binary carries is applied.
    pub schema: Result<(), String>,
}

/// Applies what is missing, past the pooler, and returns how many migrations that were. The release before may run meanwhile.
/// Two at once wait for each other.
///
/// # Errors
/// Postgres does not answer, somebody keeps a table locked for a minute and more, or an applied migration was changed
/// afterwards.
pub async fn migrate(direct_urls: &[SecretString]) -> Result<usize, DbError> {
    let addresses = Addresses::parse(direct_urls)?;
    let mut applied = 0;
    for _ in 1..MAX_MIGRATE_ATTEMPTS {
        match try_migrate(&addresses, &mut applied).await {
            Err(error) if error.is_lock_timeout() => tokio::time::sleep(MIGRATE_RETRY_INTERVAL).await,
            done => return done.map(|()| applied),
        }
    }
    try_migrate(&addresses, &mut applied).await.map(|()| applied)
}

async fn try_migrate(addresses: &Addresses, applied: &mut usize) -> Result<(), DbError> {
    let (_, mut connection) = addresses.connect_primary().await?;
    for sql in [TAKE_MIGRATION_LOCK, SET_LOCK_TIMEOUT, MOVE_FROM_PUBLIC, ENTER_SCHEMA, DROP_INVALID_INDEXES] {
        sqlx::raw_sql(sql).execute(&mut connection).await?;
    }
    connection.ensure_migrations_table(MIGRATIONS_TABLE).await?;
    let known = connection.list_applied_migrations(MIGRATIONS_TABLE).await?;
    for migration in MIGRATOR.iter().filter(|one| known.iter().all(|known| known.version != one.version)) {
        let patience = if migration.no_tx { DISABLE_LOCK_TIMEOUT } else { SET_LOCK_TIMEOUT };
        sqlx::raw_sql(patience).execute(&mut connection).await?;
        MIGRATOR.run_to(migration.version, &mut connection).await?;
        *applied += 1;
    }
    // Also where nothing is missing: whether what was applied is what this binary carries.
    MIGRATOR.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

impl Db {
    /// Compares the newest applied migration with those that this binary carries. A newer schema is no fault: during
    /// an upgrade the old binary still runs.
    ///
    /// # Errors
    /// [`DbError::SchemaBehind`], or Postgres does not answer.
    pub async fn check_schema(&self) -> Result<(), DbError> {
        let mut tx = self.begin_as_owner().await?;
        let known = sqlx::query_scalar!("select to_regclass('_sqlx_migrations') is not null")
            .fetch_one(&mut tx)
            .await?;
        let applied = match known {
            Some(true) => {
                // Not checked at compile time: the table is sqlx's own, made by the first migration.
                let newest = "select coalesce(max(version), 0) from _sqlx_migrations where success";
                sqlx::query_scalar::<_, i64>(newest).fetch_one(&mut tx).await?
            }
            _ => 0,
        };
        match MIGRATOR.iter().filter(|migration| migration.version > applied).count() {
            0 => Ok(()),
            missing => Err(DbError::SchemaBehind(missing)),
        }
    }

    /// Looks at the database within a second, for readiness.
    pub async fn health(&self) -> DatabaseHealth {
        match tokio::time::timeout(DATABASE_HEALTH_TIMEOUT, self.check_schema()).await {
            Ok(Ok(())) => DatabaseHealth { database: Ok(()), schema: Ok(()) },
            Ok(Err(error @ DbError::SchemaBehind(_))) => {
                DatabaseHealth { database: Ok(()), schema: Err(error.to_string()) }
            }
            Ok(Err(_)) => unreachable_database("does not answer as it should"),
            Err(_) => unreachable_database("does not answer within a second"),
        }
    }
}

fn unreachable_database(reason: &str) -> DatabaseHealth {
    DatabaseHealth { database: Err(reason.to_owned()), schema: Err("unknown".to_owned()) }
}
