//! The operator's commands: each does one thing, says what it did, and ends.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a person at a terminal reads this")]

mod archive;
pub mod audit;
mod event_show;
pub mod events;
mod key_status;
mod key_verify;
pub mod keys;
pub mod tenants;

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use comfy_table::{ContentArrangement, Table, presets};
use crypto::MasterKeys;
use db::{Db, DbError, Tx};
use service::DatabaseSettings;

use crate::settings::{login_uri, read_environment, read_master_keys, read_redirect_uri};

/// `web migrate`: brings the schema up to this binary.
pub fn migrate() -> ExitCode {
    let settings = read_environment().and_then(|mut env| {
        let database = DatabaseSettings::read(&mut env);
        env.finish(|| database)
    });
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => return fail(error),
    };
    match block_on(db::migrate(&settings.direct_urls)) {
        Ok(0) => println!("The schema is up to date."),
        Ok(1) => println!("1 migration was applied; the schema is up to date."),
        Ok(applied) => println!("{applied} migrations were applied; the schema is up to date."),
        Err(error) => return fail(format!("the schema could not be brought up to date: {error}")),
    }
    ExitCode::SUCCESS
}

/// `web manifest`: prints the Slack app manifest.
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

/// Asks the database something in a transaction, which is committed where the work succeeds, and prints what is said.
fn run_query<T: Display>(work: impl AsyncFnOnce(&mut Tx) -> Result<T, DbError>) -> ExitCode {
    run_query_with_exit_code(async |tx| Ok((work(tx).await?, ExitCode::SUCCESS)))
}

/// As [`ask`], where what is found decides how the command ends.
fn run_query_with_exit_code<T: Display>(
    work: impl AsyncFnOnce(&mut Tx) -> Result<(T, ExitCode), DbError>,
) -> ExitCode {
    let settings = read_environment().and_then(|mut env| {
        let (database, master_keys) = (DatabaseSettings::read(&mut env), read_master_keys(&mut env));
        env.finish(|| Some((database?, master_keys?)))
    });
    let (database, master_keys) = match settings {
        Ok(settings) => settings,
        Err(error) => return fail(error),
    };
    let asked = block_on(async {
        let db = open_db(&database, master_keys)?;
        db.check_schema().await?;
        let mut tx = db.begin_cross_tenant().await?;
        let said = work(&mut tx).await?;
        tx.commit().await?;
        Ok::<_, DbError>(said)
    });
    match asked {
        Ok((said, code)) => {
            println!("{said}");
            code
        }
        Err(error) => fail(format!("the database did not do it: {error}")),
    }
}

/// One connection is enough, and nobody at a terminal waits for half a minute.
fn open_db(database: &DatabaseSettings, master_keys: MasterKeys) -> Result<Db, DbError> {
    let settings = db::DbSettings {
        urls: database.urls.clone(),
        direct_urls: database.direct_urls.clone(),
        read_url: None,
        pool_size: 1,
        max_overflow: 0,
        pool_timeout: Duration::from_secs(10),
    };
    Db::open(&settings, master_keys)
}

#[expect(clippy::expect_used, reason = "without a runtime there is nothing to do")]
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(work)
}

/// A table as wide as the terminal; what is nothing is a dash.
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
