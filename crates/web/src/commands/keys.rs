//! `web keys …`: which keys there are, what needs them, and their replacement.

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use clap::Subcommand;
use crypto::MasterKeys;
use db::rotation::{self, RotationLock, RotationScope};
use db::{Db, DbError};
use models::TenantId;
use service::{DatabaseSettings, SettingsError};
use tokio::time::sleep;

use super::{block_on, fail, key_status, key_verify, open_db};
use crate::key_rotation::{FOREGROUND_PACE, rotate_data_key};
use crate::settings::{read_environment, read_key_rotation_interval, read_master_keys};

/// Between two looks whether another rotation has ended, and between two words of how far this one is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// What can be asked and done.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// The keys and what still needs each; ends with 1 where one is missing (ENCRYPTION_KEYS, KEY_ROTATION_INTERVAL)
    Status,
    /// Open everything that is sealed, and tell what does not open; ends with 1 where something does not
    Verify,
    /// Wrap every data key under the first of ENCRYPTION_KEYS, and replace those that are older than KEY_ROTATION_INTERVAL
    /// together with all that they encrypt. The services go on meanwhile; what was killed goes on with the next run
    Rotate {
        /// Replace every data key, however old
        #[arg(long)]
        all: bool,
        /// Only these tenants, T… or E…
        #[arg(long, num_args = 1.., value_name = "TENANT")]
        tenant: Vec<String>,
    },
}

/// Runs the command.
pub fn run(command: KeysCommand) -> ExitCode {
    let (database, master_keys, older_than) = match read_settings() {
        Ok(settings) => settings,
        Err(error) => return fail(error),
    };
    let done = block_on(async {
        let db = open_db(&database, master_keys)?;
        db.check_schema().await?;
        match command {
            KeysCommand::Status => key_status::print_key_status(&db, older_than).await,
            KeysCommand::Verify => key_verify::verify_all(&db).await,
            KeysCommand::Rotate { all, tenant } => {
                let scope = RotationScope { tenant_ids: tenant.into_iter().map(TenantId::new).collect() };
                rotate_all(&db, &scope, if all { TimeDelta::zero() } else { older_than }).await
            }
        }
    });
    done.unwrap_or_else(|error| {
        fail(format!("it did not come to its end, and can be started again: {error}"))
    })
}

fn read_settings() -> Result<(DatabaseSettings, MasterKeys, TimeDelta), SettingsError> {
    let mut env = read_environment()?;
    let (database, master_keys) = (DatabaseSettings::read(&mut env), read_master_keys(&mut env));
    let older_than = read_key_rotation_interval(&mut env);
    env.finish(|| Some((database?, master_keys?, older_than)))
}

async fn rotate_all(db: &Db, scope: &RotationScope, older_than: TimeDelta) -> Result<ExitCode, DbError> {
    let lock = acquire_lock(db).await?;
    rotation::check_catalog(&mut db.begin_cross_tenant().await?).await?;
    let wrapped = rewrap(db, scope).await?;
    println!("{wrapped} data key(s) wrapped under the first of ENCRYPTION_KEYS.");
    let mut tx = db.begin_cross_tenant().await?;
    let made_before = rotation::server_time(&mut tx).await? - older_than;
    let due = rotation::list_due(&mut tx, scope, older_than).await?;
    drop(tx);
    if due.is_empty() {
        println!("No data key is due.");
    }
    let mut code = ExitCode::SUCCESS;
    for (tenant_id, place) in due.iter().zip(1..) {
        let line = format!("{tenant_id} ({place} of {})", due.len());
        let mut progress = ProgressLine::new(&line);
        let rotated = rotate_data_key(db, tenant_id, made_before, FOREGROUND_PACE, |done, all| {
            progress.update(done, all)
        })
        .await?;
        progress.clear();
        println!("{line}: {} value(s) sealed with the new key.", rotated.reencrypted);
        if let Some(kept) = rotated.old_key_reason {
            println!("{line}: the old key is kept: {}. Run this again.", kept.description());
            code = ExitCode::FAILURE;
        }
    }
    lock.release().await;
    Ok(code)
}

async fn acquire_lock(db: &Db) -> Result<RotationLock, DbError> {
    let mut is_told = false;
    loop {
        if let Some(lock) = RotationLock::try_acquire(db).await? {
            return Ok(lock);
        }
        if !is_told {
            println!("Another rotation is under way; this one begins when that has ended.");
            is_told = true;
        }
        sleep(PROGRESS_INTERVAL).await;
    }
}

async fn rewrap(db: &Db, scope: &RotationScope) -> Result<u64, DbError> {
    let mut all = 0;
    loop {
        let mut tx = db.begin_cross_tenant().await?;
        let wrapped = rotation::rewrap(&mut tx, scope).await?;
        tx.commit().await?;
        if wrapped == 0 {
            return Ok(all);
        }
        all += wrapped;
    }
}

/// How far it is: on a terminal one line that changes, else a line now and then.
pub(super) struct ProgressLine<'a> {
    line: &'a str,
    last_printed: Instant,
}

impl<'a> ProgressLine<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { line, last_printed: Instant::now() }
    }

    pub(super) fn update(&mut self, done: u64, all: u64) {
        if self.last_printed.elapsed() < PROGRESS_INTERVAL {
            return;
        }
        self.last_printed = Instant::now();
        match stdout().is_terminal() {
            true => print!("\r{}: {done} of {all}", self.line),
            false => println!("{}: {done} of {all}", self.line),
        }
        let _ = stdout().flush();
    }

    pub(super) fn clear(&self) {
        if stdout().is_terminal() {
            print!("\r\x1b[K");
        }
    }
}
