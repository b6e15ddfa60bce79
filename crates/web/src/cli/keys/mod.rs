//! `web keys …`: status, verification and rotation of encryption keys.

mod status;
mod verify;

use std::process::ExitCode;

use chrono::TimeDelta;
use clap::Subcommand;
use db::rotation::{self, RotationLock, RotationScope};
use db::{Db, DbError};
use models::TenantId;
use service::SettingsError;
use tokio::time::sleep;

use crate::cli::progress::{PROGRESS_INTERVAL, ProgressLine};
use crate::cli::{DbAccess, block_on, fail};
use crate::jobs::key_rotation::{FOREGROUND_PACE, rotate_data_key};
use crate::settings::{read_environment, read_key_rotation_interval};

/// Commands of `web keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List all keys and what still needs each; exits 1 if one is missing (ENCRYPTION_KEYS,
    /// KEY_ROTATION_INTERVAL)
    Status,
    /// Decrypt everything that is stored, and report failures; exits 1 if there are any
    Verify,
    /// Re-wrap every data key under the first of ENCRYPTION_KEYS, sign the API keys with it, replace data
    /// keys older than KEY_ROTATION_INTERVAL, and re-encrypt their data. The services keep running; safe to interrupt, the
    /// next run resumes
    Rotate {
        /// Replace every data key regardless of its age
        #[arg(long)]
        all: bool,
        /// Only these tenants, T… or E…
        #[arg(long, num_args = 1.., value_name = "TENANT")]
        tenant: Vec<String>,
    },
}

/// Runs the command.
pub fn run(command: KeysCommand) -> ExitCode {
    let (access, older_than) = match read_settings() {
        Ok(settings) => settings,
        Err(error) => return fail(error),
    };
    let done = block_on(async {
        let db = access.open().await?;
        match command {
            KeysCommand::Status => status::print_key_status(&db, older_than).await,
            KeysCommand::Verify => verify::verify_all(&db).await,
            KeysCommand::Rotate { all, tenant } => {
                let scope = RotationScope { tenant_ids: tenant.into_iter().map(TenantId::new).collect() };
                rotate_all(&db, &scope, if all { TimeDelta::zero() } else { older_than }).await
            }
        }
    });
    done.unwrap_or_else(|error| fail(format!("interrupted, and safe to run again: {error}")))
}

fn read_settings() -> Result<(DbAccess, TimeDelta), SettingsError> {
    let mut env = read_environment()?;
    let access = DbAccess::read(&mut env);
    let older_than = read_key_rotation_interval(&mut env);
    env.finish(|| Some((access?, older_than)))
}

async fn rotate_all(db: &Db, scope: &RotationScope, older_than: TimeDelta) -> Result<ExitCode, DbError> {
    let lock = acquire_lock(db).await?;
    rotation::check_catalog(&mut db.begin_cross_tenant().await?).await?;
    let (wrapped, has_failed) = rewrap(db, scope).await?;
    println!("{wrapped} data key(s) re-wrapped under the first of ENCRYPTION_KEYS.");
    let mut tx = db.begin_cross_tenant().await?;
    let signed = db::api_keys::resign(&mut tx).await?;
    tx.commit().await?;
    println!("{signed} API key(s) signed again with the first of ENCRYPTION_KEYS.");
    let mut tx = db.begin_cross_tenant().await?;
    let made_before = rotation::server_time(&mut tx).await? - older_than;
    let due = rotation::list_due(&mut tx, scope, older_than).await?;
    drop(tx);
    if due.is_empty() {
        println!("No data key is due.");
    }
    let mut code = if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    for (tenant_id, number) in due.iter().zip(1..) {
        let line = format!("{tenant_id} ({number} of {})", due.len());
        let mut progress = ProgressLine::new(&line);
        let rotated = rotate_data_key(db, tenant_id, made_before, FOREGROUND_PACE, |done, all| {
            progress.update(done, all)
        })
        .await;
        progress.clear();
        let rotated = match rotated {
            Ok(rotated) => rotated,
            Err(error) if error.is_tenant_specific() => {
                code = fail(format!("{line}: not rotated, the others go on: {error}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        println!("{line}: {} value(s) re-encrypted with the new key.", rotated.reencrypted);
        if let Some(reason) = rotated.old_key_reason {
            println!("{line}: the old key is still needed: {}. Run this again.", reason.description());
            code = ExitCode::FAILURE;
        }
    }
    lock.release().await;
    Ok(code)
}

async fn acquire_lock(db: &Db) -> Result<RotationLock, DbError> {
    let mut is_notice_printed = false;
    loop {
        if let Some(lock) = RotationLock::try_acquire(db).await? {
            return Ok(lock);
        }
        if !is_notice_printed {
            println!("Another rotation is running; waiting for it to finish.");
            is_notice_printed = true;
        }
        sleep(PROGRESS_INTERVAL).await;
    }
}

/// Rewraps all keys of the scope. Returns their number, and whether a key could not be opened.
async fn rewrap(db: &Db, scope: &RotationScope) -> Result<(u64, bool), DbError> {
    let (mut total, mut has_failed, mut after) = (0, false, None);
    loop {
        let mut tx = db.begin_cross_tenant().await?;
        let page = rotation::rewrap(&mut tx, scope, after).await?;
        tx.commit().await?;
        total += page.rewrapped;
        for (tenant_id, error) in page.failed {
            has_failed = true;
            eprintln!("{tenant_id}: a data key cannot be opened and keeps its master key: {error}");
        }
        if page.last_key.is_none() {
            return Ok((total, has_failed));
        }
        after = page.last_key;
    }
}
