//! `web keys …`: which keys there are, what needs them, and their replacement.

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use clap::Subcommand;
use crypto::MasterKeys;
use db::rotation::{self, Lock, Scope};
use db::{Db, DbError};
use models::TenantId;
use service::{DatabaseSettings, SettingsError};
use tokio::time::sleep;

use super::{block_on, fail, key_status, key_verify, open};
use crate::rotation::{BRISK, rotate};
use crate::settings::{read_environment, read_key_rotation_interval, read_master_keys};

/// Between two looks whether another rotation has ended, and between two words of how far this one is.
const LOOK: Duration = Duration::from_millis(500);

/// What can be asked and done.
#[derive(Debug, Subcommand)]
pub enum Command {
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
pub fn run(command: Command) -> ExitCode {
    let (database, master_keys, older_than) = match settings() {
        Ok(settings) => settings,
        Err(error) => return fail(error),
    };
    let done = block_on(async {
        let db = open(&database, master_keys)?;
        db.check_schema().await?;
        match command {
            Command::Status => key_status::print(&db, older_than).await,
            Command::Verify => key_verify::print(&db).await,
            Command::Rotate { all, tenant } => {
                let scope = Scope { tenant_ids: tenant.into_iter().map(TenantId::new).collect() };
                rotate_all(&db, &scope, if all { TimeDelta::zero() } else { older_than }).await
            }
        }
    });
    done.unwrap_or_else(|error| {
        fail(format!("it did not come to its end, and can be started again: {error}"))
    })
}

fn settings() -> Result<(DatabaseSettings, MasterKeys, TimeDelta), SettingsError> {
    let mut env = read_environment()?;
    let (database, master_keys) = (DatabaseSettings::read(&mut env), read_master_keys(&mut env));
    let older_than = read_key_rotation_interval(&mut env);
    env.finish(|| Some((database?, master_keys?, older_than)))
}

async fn rotate_all(db: &Db, scope: &Scope, older_than: TimeDelta) -> Result<ExitCode, DbError> {
    let lock = take_lock(db).await?;
    rotation::check_catalogue(&mut db.begin_for_all().await?).await?;
    let wrapped = rewrap(db, scope).await?;
    println!("{wrapped} data key(s) wrapped under the first of ENCRYPTION_KEYS.");
    let mut tx = db.begin_for_all().await?;
    let made_before = rotation::now(&mut tx).await? - older_than;
    let due = rotation::list_due(&mut tx, scope, older_than).await?;
    drop(tx);
    if due.is_empty() {
        println!("No data key is due.");
    }
    let mut code = ExitCode::SUCCESS;
    for (tenant_id, place) in due.iter().zip(1..) {
        let line = format!("{tenant_id} ({place} of {})", due.len());
        let mut progress = Progress::new(&line);
        let rotated = rotate(db, tenant_id, made_before, BRISK, |done, all| progress.tell(done, all)).await?;
        progress.clear();
        println!("{line}: {} value(s) sealed with the new key.", rotated.resealed);
        if let Some(kept) = rotated.kept {
            println!("{line}: the old key is kept: {}. Run this again.", kept.in_words());
            code = ExitCode::FAILURE;
        }
    }
    lock.release().await;
    Ok(code)
}

async fn take_lock(db: &Db) -> Result<Lock, DbError> {
    let mut is_told = false;
    loop {
        if let Some(lock) = Lock::try_take(db).await? {
            return Ok(lock);
        }
        if !is_told {
            println!("Another rotation is under way; this one begins when that has ended.");
            is_told = true;
        }
        sleep(LOOK).await;
    }
}

async fn rewrap(db: &Db, scope: &Scope) -> Result<u64, DbError> {
    let mut all = 0;
    loop {
        let mut tx = db.begin_for_all().await?;
        let wrapped = rotation::rewrap(&mut tx, scope).await?;
        tx.commit().await?;
        if wrapped == 0 {
            return Ok(all);
        }
        all += wrapped;
    }
}

/// How far it is: on a terminal one line that changes, else a line now and then.
pub(super) struct Progress<'a> {
    line: &'a str,
    told: Instant,
}

impl<'a> Progress<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { line, told: Instant::now() }
    }

    pub(super) fn tell(&mut self, done: u64, all: u64) {
        if self.told.elapsed() < LOOK {
            return;
        }
        self.told = Instant::now();
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
