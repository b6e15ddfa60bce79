//! The operator's commands.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a person at a terminal reads this")]

pub mod audit;
pub mod channels;
pub mod doctor;
pub mod events;
pub mod keys;
pub mod plan;
mod progress;
pub mod tenants;
pub mod tombstones;

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use comfy_table::{ContentArrangement, Table, presets};
use crypto::{KeyProvider, MasterKeys};
use db::audit_log::AuditAction;
use db::{Db, DbError, Tx};
use models::TenantId;
use service::{DatabaseSettings, Environment};

use crate::settings::{login_uri, read_environment, read_master_keys, read_redirect_uri};

/// Options of `web migrate`.
#[derive(Clone, Debug, clap::Args)]
pub struct MigrateOptions {
    /// Let the services log in as this role; this command then runs as the owner of the tables
    #[arg(long, value_name = "ROLE")]
    service_role: Option<String>,
}

/// Runs `web migrate`: upgrades the schema to the version of this binary, and replays tombstones that were
/// imported.
pub fn migrate(options: &MigrateOptions) -> ExitCode {
    let settings = read_environment().and_then(|mut env| {
        let database = DatabaseSettings::read(&mut env);
        // Needed only by a migration that signs something, which says so.
        let master_keys = env.text("ENCRYPTION_KEYS").is_some().then(|| read_master_keys(&mut env)).flatten();
        env.finish(|| Some((database?, master_keys)))
    });
    let (database, master_keys) = match settings {
        Ok(settings) => settings,
        Err(error) => return fail(error),
    };
    let master_keys = master_keys.as_ref().map(|keys| keys as &dyn KeyProvider);
    match block_on(db::migrate(&database.direct_urls, master_keys)) {
        Ok(0) => println!("The schema is up to date."),
        Ok(1) => println!("1 migration was applied. The schema is up to date."),
        Ok(applied) => println!("{applied} migrations were applied. The schema is up to date."),
        Err(error) => return fail(format!("migration failed: {error}")),
    }
    match block_on(db::tombstones::count_pending(&database.direct_urls)) {
        Ok(0) => {}
        Ok(_) => match tombstones::replay_pending() {
            Ok(done) => println!("{done}"),
            Err(problem) => return fail(problem),
        },
        Err(error) => return fail(format!("the tombstones cannot be read: {error}")),
    }
    let Some(role) = &options.service_role else { return ExitCode::SUCCESS };
    match block_on(db::allow_service_role(&database.direct_urls, role)) {
        Ok(excess) if excess.is_empty() => println!("The services may log in as {role}."),
        Ok(excess) => println!("Warning: the role {role} {excess}, which the services do not need."),
        Err(error) => return fail(format!("the services cannot log in as {role}: {error}")),
    }
    ExitCode::SUCCESS
}

/// Runs `web manifest`: prints the Slack app manifest.
pub fn print_manifest() -> ExitCode {
    let redirect_uri = read_environment().and_then(|mut env| {
        let redirect_uri = read_redirect_uri(&mut env);
        env.finish(|| redirect_uri)
    });
    match redirect_uri {
        Ok(uri) => {
            let origin = uri.origin().ascii_serialization();
            let manifest = slack::manifest(&origin, uri.as_str(), &login_uri(&uri));
            println!("{manifest:#}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(error),
    }
}

/// Access to the database, for one command.
struct DbAccess {
    database: DatabaseSettings,
    master_keys: MasterKeys,
}

impl DbAccess {
    /// Reads the variables; problems are noted in `env`.
    fn read(env: &mut Environment) -> Option<Self> {
        let (database, master_keys) = (DatabaseSettings::read(env), read_master_keys(env));
        Some(Self { database: database?, master_keys: master_keys? })
    }

    /// Opens the database.
    ///
    /// # Errors
    /// The database cannot be reached, or its schema does not match this binary.
    async fn open(self) -> Result<Db, DbError> {
        let settings = db::DbSettings {
            urls: self.database.urls,
            direct_urls: self.database.direct_urls,
            read_url: None,
            // A command runs its queries one after the other.
            pool_size: 1,
            max_overflow: 0,
            // A person waits at the terminal.
            pool_timeout: Duration::from_secs(10),
        };
        let db = Db::open(&settings, self.master_keys)?;
        db.check_schema().await?;
        Ok(db)
    }
}

/// Runs `work` in a transaction, commits it on success, and prints the returned text.
fn run_query<T: Display>(work: impl AsyncFnOnce(&mut Tx) -> Result<T, DbError>) -> ExitCode {
    run_query_with_exit_code(async |tx| Ok((work(tx).await?, ExitCode::SUCCESS)))
}

/// Works like [`run_query`], but `work` also chooses the exit code.
fn run_query_with_exit_code<T: Display>(
    work: impl AsyncFnOnce(&mut Tx) -> Result<(T, ExitCode), DbError>,
) -> ExitCode {
    let access = read_environment().and_then(|mut env| {
        let access = DbAccess::read(&mut env);
        env.finish(|| access)
    });
    let access = match access {
        Ok(access) => access,
        Err(error) => return fail(error),
    };
    let result = block_on(async {
        let db = access.open().await?;
        let mut tx = db.begin_cross_tenant().await?;
        let result = work(&mut tx).await?;
        tx.commit().await?;
        Ok::<_, DbError>(result)
    });
    match result {
        Ok((text, code)) => {
            println!("{text}");
            code
        }
        Err(error) => fail(format!("database error: {error}")),
    }
}

/// Records an operator's action in the tenant's audit log.
async fn write_audit_entry(
    tx: &mut Tx,
    tenant_id: &TenantId,
    action: AuditAction,
    detail: serde_json::Value,
) -> Result<(), DbError> {
    db::audit_log::insert(tx, tenant_id, "operator", action, detail).await
}

fn unknown_tenant(tenant_id: &TenantId) -> String {
    format!("There is no tenant {tenant_id}. `web tenants list` shows all tenants.")
}

#[expect(clippy::expect_used, reason = "without a runtime no command can run")]
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(work)
}

/// Builds a table as wide as the terminal. Empty cells show a dash.
fn table(header: &[&str], rows: impl Iterator<Item = Vec<Option<String>>>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    for row in rows {
        table.add_row(row.into_iter().map(|cell| cell.unwrap_or_else(|| "–".into())));
    }
    table
}

fn format_time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn fail(error: impl Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
