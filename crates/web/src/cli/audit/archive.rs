//! `web audit archive` and `web audit verify --archive`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use db::audit_archive::{find_hash, list_unarchived};
use db::{Db, DbError, Tx};
use models::TenantId;
use service::SettingsError;
use storage::{StorageBucket, StorageSettings};

use crate::cli::progress::ProgressLine;
use crate::cli::{DbAccess, block_on, fail};
use crate::jobs::audit_archive::{ArchiveError, SegmentRange, archive_tenant, read_archive, verify_segment};
use crate::settings::read_environment;

/// Time limit for the upload of one object.
const ARCHIVE_UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs `web audit archive`.
pub(super) fn run() -> ExitCode {
    let (access, settings) = match read_settings() {
        Ok(settings) => settings,
        Err(error) => return fail(error),
    };
    let done = block_on(async {
        let db = access.open().await?;
        archive_all(&db, settings).await
    });
    done.unwrap_or_else(|error: anyhow::Error| fail(format!("interrupted, and safe to run again: {error}")))
}

fn read_settings() -> Result<(DbAccess, StorageSettings), SettingsError> {
    let mut env = read_environment()?;
    let access = DbAccess::read(&mut env);
    if env.text("AUDIT_ARCHIVE_BUCKET").is_none() {
        env.add_problem("AUDIT_ARCHIVE_BUCKET", "is not set: there is no archive", "audit");
    }
    let settings = read_archive(&mut env);
    env.finish(|| Some((access?, settings?)))
}

async fn archive_all(db: &Db, settings: StorageSettings) -> anyhow::Result<ExitCode> {
    let bucket = StorageBucket::new(settings, ARCHIVE_UPLOAD_TIMEOUT)?;
    let tenants = list_unarchived(&mut db.begin_cross_tenant().await?, 0).await?;
    if tenants.is_empty() {
        println!("Everything is archived.");
    }
    let mut code = ExitCode::SUCCESS;
    for tenant in tenants {
        let (line, all) = (tenant.tenant_id.to_string(), tenant.entries.unsigned_abs());
        let mut progress = ProgressLine::new(&line);
        let archived =
            archive_tenant(db, &bucket, &tenant, |done| progress.update(done.unsigned_abs(), all)).await;
        progress.clear();
        match archived {
            Ok(entries) => println!("{line}: {entries} entries archived."),
            Err(error) => {
                code = fail(format!("{line}: archiving failed, nothing is lost: {error}"));
                match error {
                    ArchiveError::Storage(error) if !error.is_bucket_wide() => {}
                    ArchiveError::InvalidSegment(_) => {}
                    ArchiveError::Db(error) if error.is_tenant_specific() => {}
                    _ => return Ok(code),
                }
            }
        }
    }
    Ok(code)
}

/// The verdict on the files of an archive.
#[derive(Default)]
struct ArchiveVerification {
    is_broken: bool,
    segments: Vec<(String, SegmentRange)>,
}

/// Runs `web audit verify --archive`.
pub(super) fn verify(files: &[PathBuf]) -> ExitCode {
    let mut verification = ArchiveVerification::default();
    for file in files {
        verification.verify_file(file);
    }
    verification.segments.sort_by_key(|(_, range)| (range.tenant_id.clone(), range.first_index));
    verification.check_continuity();
    if let Err(error) = verification.compare_with_database() {
        return fail(format!("the files could not be compared with the database: {error}"));
    }
    if verification.is_broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl ArchiveVerification {
    fn verify_file(&mut self, file: &Path) {
        let name = file.display().to_string();
        let checked = match fs::read_to_string(file) {
            Ok(text) => verify_segment(&text).map_err(|error| error.to_string()),
            Err(error) => Err(format!("cannot be read ({error})")),
        };
        let checked = checked.and_then(|range| match find_last_entry_in_name(file) {
            Some(end) if end > range.last_index => {
                Err(format!("entries {} to {end} were cut off", range.last_index + 1))
            }
            _ if range.first_index == 1 && !range.previous_hash.is_empty() => {
                Err("entries before the first one were removed".to_owned())
            }
            _ => Ok(range),
        });
        match checked {
            Ok(range) => {
                let (first, last) = (range.first_index, range.last_index);
                println!("{name}: intact, entries {first} to {last} of {}", range.tenant_id);
                self.segments.push((name, range));
            }
            Err(reason) => self.report_broken(&name, &reason),
        }
    }

    /// Checks that each file continues the one before it.
    fn check_continuity(&mut self) {
        for pair in self.segments.clone().windows(2) {
            let [(name, one), (next_name, next)] = pair else { continue };
            if one.tenant_id != next.tenant_id {
                continue;
            }
            match next.first_index - one.last_index {
                1 if next.previous_hash != one.hash => {
                    self.report_broken(next_name, &format!("does not continue {name}"))
                }
                1 => {}
                2.. => println!(
                    "{}: entries {} to {} are not in these files",
                    one.tenant_id,
                    one.last_index + 1,
                    next.first_index - 1
                ),
                _ => self.report_broken(next_name, &format!("has entries that are also in {name}")),
            }
        }
    }

    /// Compares the files with the database, which also detects a file that was replaced as a whole.
    fn compare_with_database(&mut self) -> anyhow::Result<()> {
        let mut env = read_environment()?;
        if self.segments.is_empty()
            || (env.text("DATABASE_URL").is_none() && env.text("SUPABASE_URL").is_none())
        {
            println!("Not compared with a database: none is set.");
            return Ok(());
        }
        let access = DbAccess::read(&mut env);
        let access = env.finish(|| access)?;
        block_on(async {
            let db = access.open().await?;
            let mut tx = db.begin_cross_tenant().await?;
            for (name, range) in self.segments.clone() {
                match find_database_match(&mut tx, &range).await? {
                    Some(true) => println!("{name}: matches the database"),
                    Some(false) => self.report_broken(&name, "does not match the database"),
                    None => {}
                }
            }
            Ok(())
        })
    }

    fn report_broken(&mut self, name: &str, reason: &str) {
        println!("{name}: BROKEN: {reason}");
        self.is_broken = true;
    }
}

/// Returns the number of the last entry according to the file's name.
fn find_last_entry_in_name(file: &Path) -> Option<i64> {
    file.file_stem()?.to_str()?.split_once('-')?.1.parse().ok()
}

/// Compares the ends of a file with the database; `None` if the database has neither entry.
async fn find_database_match(tx: &mut Tx, range: &SegmentRange) -> Result<Option<bool>, DbError> {
    let tenant_id = TenantId::new(range.tenant_id.as_str());
    let mut is_match = None;
    for (place, hash) in [(range.first_index - 1, &range.previous_hash), (range.last_index, &range.hash)] {
        // The first entry has none before it.
        if place == 0 {
            continue;
        }
        if let Some(known) = find_hash(tx, &tenant_id, place).await? {
            is_match = Some(is_match.unwrap_or(true) && hex::encode(known) == *hash);
        }
    }
    Ok(is_match)
}
