//! `web audit archive`, and `web audit verify --archive`: what goes into the archive, and whether it is still that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crypto::MasterKeys;
use db::audit_archive::{find_hash, list_unarchived};
use db::{Db, DbError, Tx};
use models::TenantId;
use service::{DatabaseSettings, SettingsError};
use storage::{StorageBucket, StorageSettings};

use super::keys::ProgressLine;
use super::{block_on, fail, open_db};
use crate::audit::{ArchiveError, SegmentRange, archive_tenant, read_archive, verify_segment};
use crate::settings::{read_environment, read_master_keys};

/// For one object; a person waits for it.
const ARCHIVE_UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// `web audit archive`.
pub(super) fn run() -> ExitCode {
    let (database, master_keys, settings) = match read_settings() {
        Ok(settings) => settings,
        Err(error) => return fail(error),
    };
    let done = block_on(async {
        let db = open_db(&database, master_keys)?;
        db.check_schema().await?;
        archive_all(&db, settings).await
    });
    done.unwrap_or_else(|error: anyhow::Error| {
        fail(format!("it did not come to its end, and can be started again: {error}"))
    })
}

fn read_settings() -> Result<(DatabaseSettings, MasterKeys, StorageSettings), SettingsError> {
    let mut env = read_environment()?;
    let (database, master_keys) = (DatabaseSettings::read(&mut env), read_master_keys(&mut env));
    if env.text("AUDIT_ARCHIVE_BUCKET").is_none() {
        env.add_problem("AUDIT_ARCHIVE_BUCKET", "is not set: there is no archive", "audit");
    }
    let settings = read_archive(&mut env);
    env.finish(|| Some((database?, master_keys?, settings?)))
}

async fn archive_all(db: &Db, settings: StorageSettings) -> anyhow::Result<ExitCode> {
    let bucket = StorageBucket::new(settings, ARCHIVE_UPLOAD_TIMEOUT)?;
    let tenants = list_unarchived(&mut db.begin_cross_tenant().await?, 0).await?;
    if tenants.is_empty() {
        println!("All is archived.");
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
                code = fail(format!("{line}: not all is archived, and nothing is lost: {error}"));
                match error {
                    ArchiveError::Storage(error) if !error.is_bucket_wide() => {}
                    ArchiveError::InvalidSegment(_) => {}
                    _ => return Ok(code),
                }
            }
        }
    }
    Ok(code)
}

/// What is said of the files, and whether all of it is good.
#[derive(Default)]
struct ArchiveVerification {
    is_broken: bool,
    segments: Vec<(String, SegmentRange)>,
}

/// `web audit verify --archive`.
pub(super) fn verify(files: &[PathBuf]) -> ExitCode {
    let mut verdict = ArchiveVerification::default();
    for file in files {
        verdict.verify_file(file);
    }
    verdict.segments.sort_by_key(|(_, span)| (span.tenant_id.clone(), span.first_place));
    verdict.check_continuity();
    if let Err(error) = verdict.compare_with_database() {
        return fail(format!("the files were not compared with the database: {error}"));
    }
    if verdict.is_broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl ArchiveVerification {
    fn verify_file(&mut self, file: &Path) {
        let name = file.display().to_string();
        let checked = match fs::read_to_string(file) {
            Ok(text) => verify_segment(&text).map_err(|flaw| flaw.to_string()),
            Err(error) => Err(format!("it cannot be read ({error})")),
        };
        let checked = checked.and_then(|span| match find_last_entry_in_name(file) {
            Some(end) if end > span.last_place => {
                Err(format!("entries {} to {end} were cut off", span.last_place + 1))
            }
            _ if span.first_place == 1 && !span.previous_hash.is_empty() => {
                Err("something stood before the first entry of all".to_owned())
            }
            _ => Ok(span),
        });
        match checked {
            Ok(span) => {
                let (first, last) = (span.first_place, span.last_place);
                println!("{name}: unbroken, entries {first} to {last} of {}", span.tenant_id);
                self.segments.push((name, span));
            }
            Err(why) => self.report_broken(&name, &why),
        }
    }

    /// Whether each file goes on where the one before it ends.
    fn check_continuity(&mut self) {
        for pair in self.segments.clone().windows(2) {
            let [(name, one), (next_name, next)] = pair else { continue };
            if one.tenant_id != next.tenant_id {
                continue;
            }
            match next.first_place - one.last_place {
                1 if next.previous_hash != one.hash => {
                    self.report_broken(next_name, &format!("it does not join {name}"))
                }
                1 => {}
                2.. => println!(
                    "{}: entries {} to {} are in none of these files",
                    one.tenant_id,
                    one.last_place + 1,
                    next.first_place - 1
                ),
                _ => self.report_broken(next_name, &format!("it has entries that are in {name}, too")),
            }
        }
    }

    /// Whether the files join what the database has of the same chains; whoever writes a whole new file is found by that.
    fn compare_with_database(&mut self) -> anyhow::Result<()> {
        let mut env = read_environment()?;
        if self.segments.is_empty()
            || (env.text("DATABASE_URL").is_none() && env.text("SUPABASE_URL").is_none())
        {
            println!("Nothing was compared with a database.");
            return Ok(());
        }
        let (database, master_keys) = (DatabaseSettings::read(&mut env), read_master_keys(&mut env));
        let (database, master_keys) = env.finish(|| Some((database?, master_keys?)))?;
        block_on(async {
            let db = open_db(&database, master_keys)?;
            db.check_schema().await?;
            let mut tx = db.begin_cross_tenant().await?;
            for (name, span) in self.segments.clone() {
                match find_database_match(&mut tx, &span).await? {
                    Some(true) => println!("{name}: joins what is in the database"),
                    Some(false) => self.report_broken(&name, "it does not join what is in the database"),
                    None => {}
                }
            }
            Ok(())
        })
    }

    fn report_broken(&mut self, name: &str, why: &str) {
        println!("{name}: BROKEN: {why}");
        self.is_broken = true;
    }
}

/// The last entry that a file has by its name, as it is in the archive.
fn find_last_entry_in_name(file: &Path) -> Option<i64> {
    file.file_stem()?.to_str()?.split_once('-')?.1.parse().ok()
}

/// Whether the ends of a file are those that the database has; `None` where it has neither.
async fn find_database_match(tx: &mut Tx, span: &SegmentRange) -> Result<Option<bool>, DbError> {
    let tenant_id = TenantId::new(span.tenant_id.as_str());
    let mut joins = None;
    for (place, hash) in [(span.first_place - 1, &span.previous_hash), (span.last_place, &span.hash)] {
        // Before the first of all stands nothing.
        if place == 0 {
            continue;
        }
        if let Some(known) = find_hash(tx, &tenant_id, place).await? {
            joins = Some(joins.unwrap_or(true) && hex::encode(known) == *hash);
        }
    }
    Ok(joins)
}
