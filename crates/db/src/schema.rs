//! The schema `enablebot` and its version: the migrations in this binary compared with those applied to the
//! database.

use std::time::Duration;

use crypto::KeyProvider;
use secrecy::SecretString;
use sqlx::migrate::{Migrate, Migrator};
use sqlx::{Connection, PgConnection};

use crate::connection::SET_SERVICE_ROLE;
use crate::primary_monitor::Addresses;
use crate::{Db, DbError, api_keys};

/// Table of sqlx.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

/// The migration that adds the proofs of rows.
const ROW_PROOFS_VERSION: i64 = 10;

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// EnableBot has its own schema, which Supabase's REST interface does not expose.
const ENTER_SCHEMA: &str = "create schema if not exists enablebot; set search_path = enablebot, pg_temp";

/// Concurrent migrations wait for each other, without a limit.
const ACQUIRE_MIGRATION_LOCK: &str = "select pg_advisory_lock(hashtext('enablebot migrate'))";

/// A migration waits only briefly for a table's lock: every later query, and so every reply, would queue
/// behind it.
const SET_LOCK_TIMEOUT: &str = "set lock_timeout = '2s'";

/// Building an index concurrently blocks no queries, and waits for open transactions.
const DISABLE_LOCK_TIMEOUT: &str = "set lock_timeout = 0";

/// An interrupted index build leaves an invalid index, which occupies its name.
const DROP_INVALID_INDEXES: &str = "do $$ declare _index text; begin
    for _index in select indexrelid::regclass from pg_index join pg_class on oid = indexrelid
        where not indisvalid and relkind = 'i' and relnamespace = 'enablebot'::regnamespace
    loop execute 'drop index ' || _index; end loop; end $$";

/// Attempts of a migration that did not get its locks, with a pause in which other queries proceed.
const MAX_MIGRATE_ATTEMPTS: usize = 30;
const MIGRATE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Timeout of the health check.
const DATABASE_HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

/// Health of the database by part; `Err` holds the problem.
#[derive(Clone, Debug)]
pub struct DatabaseHealth {
    /// Error if Postgres does not respond within a second.
    pub database: Result<(), String>,
    /// Error if migrations of this binary are missing.
    pub schema: Result<(), String>,
    /// What the role of `DATABASE_URL` may do that the services do not need; empty is best.
    pub excess_rights: String,
}

/// Applies the missing migrations without the pooler, and returns their number. The previous release may run
/// meanwhile. Concurrent calls wait for each other.
///
/// # Errors
/// Postgres does not respond, a table stays locked for more than a minute, an applied migration was changed
/// afterwards, [`DbError::UnreleasedSchema`] or [`DbError::MasterKeysNeeded`].
pub async fn migrate(
    direct_urls: &[SecretString],
    master_keys: Option<&dyn KeyProvider>,
) -> Result<usize, DbError> {
    let addresses = Addresses::parse(direct_urls)?;
    let mut applied = 0;
    for _ in 1..MAX_MIGRATE_ATTEMPTS {
        match try_migrate(&addresses, master_keys, &mut applied).await {
            Err(error) if error.is_lock_timeout() => tokio::time::sleep(MIGRATE_RETRY_INTERVAL).await,
            done => return done.map(|()| applied),
        }
    }
    try_migrate(&addresses, master_keys, &mut applied).await.map(|()| applied)
}

async fn try_migrate(
    addresses: &Addresses,
    master_keys: Option<&dyn KeyProvider>,
    applied: &mut usize,
) -> Result<(), DbError> {
    let (_, mut connection) = addresses.connect_primary().await?;
    for sql in [ACQUIRE_MIGRATION_LOCK, SET_LOCK_TIMEOUT, ENTER_SCHEMA, DROP_INVALID_INDEXES] {
        sqlx::raw_sql(sql).execute(&mut connection).await?;
    }
    connection.ensure_migrations_table(MIGRATIONS_TABLE).await?;
    let applied_migrations = connection.list_applied_migrations(MIGRATIONS_TABLE).await?;
    if applied_migrations.iter().any(|one| is_other_baseline(one.version, &one.checksum)) {
        return Err(DbError::UnreleasedSchema);
    }
    let is_missing = |version| applied_migrations.iter().all(|one| one.version != version);
    for migration in MIGRATOR.iter().filter(|one| is_missing(one.version)) {
        let lock_timeout = if migration.no_tx { DISABLE_LOCK_TIMEOUT } else { SET_LOCK_TIMEOUT };
        sqlx::raw_sql(lock_timeout).execute(&mut connection).await?;
        match migration.version {
            ROW_PROOFS_VERSION => add_row_proofs(&mut connection, master_keys).await?,
            version => MIGRATOR.run_to(version, &mut connection).await?,
        }
        *applied += 1;
    }
    // Even if nothing is missing, this checks that the applied migrations match this binary.
    MIGRATOR.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Adds the proofs of rows, and signs the API keys that exist, in one transaction.
async fn add_row_proofs(
    connection: &mut PgConnection,
    master_keys: Option<&dyn KeyProvider>,
) -> Result<(), DbError> {
    let mut tx = connection.begin().await?;
    MIGRATOR.run_to(ROW_PROOFS_VERSION, &mut *tx).await?;
    sqlx::raw_sql(SET_SERVICE_ROLE).execute(&mut *tx).await?;
    api_keys::sign_existing(&mut tx, master_keys).await?;
    Ok(tx.commit().await?)
}

/// Returns whether this is a first migration that differs from the one in this binary. Its schema was never
/// released, and the migrations in this binary cannot be applied to it.
fn is_other_baseline(version: i64, checksum: &[u8]) -> bool {
    let baseline = MIGRATOR.iter().next();
    baseline.is_some_and(|first| first.version == version && first.checksum != checksum)
}

impl Db {
    /// Compares the newest applied migration with those of this binary. A newer schema is fine: the old
    /// binary still runs during an upgrade.
    ///
    /// # Errors
    /// [`DbError::SchemaBehind`], [`DbError::UnreleasedSchema`], or Postgres does not respond.
    pub async fn check_schema(&self) -> Result<(), DbError> {
        let mut tx = self.begin_as_owner().await?;
        let has_table = sqlx::query_scalar!("select to_regclass('_sqlx_migrations') is not null")
            .fetch_one(&mut tx)
            .await?;
        let applied = match has_table {
            Some(true) => {
                // Not checked at compile time, because sqlx creates this table and no migration does.
                let applied = "select version, checksum from _sqlx_migrations where success";
                let applied: Vec<(i64, Vec<u8>)> = sqlx::query_as(applied).fetch_all(&mut tx).await?;
                if applied.iter().any(|(version, checksum)| is_other_baseline(*version, checksum)) {
                    return Err(DbError::UnreleasedSchema);
                }
                applied.iter().map(|(version, _)| *version).max().unwrap_or_default()
            }
            _ => 0,
        };
        match MIGRATOR.iter().filter(|migration| migration.version > applied).count() {
            0 => Ok(()),
            missing => Err(DbError::SchemaBehind(missing)),
        }
    }

    /// Checks the database within a second, for readiness.
    pub async fn health(&self) -> DatabaseHealth {
        let checks = async {
            self.check_schema().await?;
            self.find_excess_rights().await
        };
        match tokio::time::timeout(DATABASE_HEALTH_TIMEOUT, checks).await {
            Ok(Ok(excess_rights)) => DatabaseHealth { database: Ok(()), schema: Ok(()), excess_rights },
            Ok(Err(error @ (DbError::SchemaBehind(_) | DbError::UnreleasedSchema))) => DatabaseHealth {
                database: Ok(()),
                schema: Err(error.to_string()),
                excess_rights: String::new(),
            },
            Ok(Err(error @ DbError::UnverifiedServer(_))) => unreachable_database(&error.to_string()),
            Ok(Err(_)) => unreachable_database("query failed"),
            Err(_) => unreachable_database("no response within a second"),
        }
    }
}

fn unreachable_database(reason: &str) -> DatabaseHealth {
    DatabaseHealth {
        database: Err(reason.to_owned()),
        schema: Err("unknown".to_owned()),
        excess_rights: String::new(),
    }
}
