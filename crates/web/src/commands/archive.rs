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
use storage::{Bucket, Settings};

use super::keys::Progress;
use super::{block_on, fail, open};
use crate::audit::{ArchiveError, Span, archive, check, read_archive};
use crate::settings::{read_environment, read_master_keys};

/// For one object; a person waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// `web audit archive`.
pub(super) fn run() -> ExitCode {
    let (database, master_keys, settings) = match read_settings() {
        Ok(settings) => settings,
        Err(error) => return fail(error),
    };
    let done = block_on(async {
        let db = open(&database, master_keys)?;
        db.check_schema().await?;
        archive_all(&db, settings).await
    });
    done.unwrap_or_else(|error: anyhow::Error| {
        fail(format!("it did not come to its end, and can be started again: {error}"))
    })
}

fn read_settings() -> Result<(DatabaseSettings, MasterKeys, Settings), SettingsError> {
    let mut env = read_environment()?;
    let (database, master_keys) = (DatabaseSettings::read(&mut env), read_master_keys(&mut env));
    if env.text("AUDIT_ARCHIVE_BUCKET").is_none() {
        env.problem("AUDIT_ARCHIVE_BUCKET", "is not set: there is no archive", "audit");
    }
    let settings = read_archive(&mut env);
    env.finish(|| Some((database?, master_keys?, settings?)))
}

async fn archive_all(db: &Db, settings: Settings) -> anyhow::Result<ExitCode> {
    let bucket = Bucket::new(settings, PATIENCE)?;
    let tenants = list_unarchived(&mut db.begin_for_all().await?, 0).await?;
    if tenants.is_empty() {
        println!("All is archived.");
    }
    let mut code = ExitCode::SUCCESS;
    for tenant in tenants {
        let (line, all) = (tenant.tenant_id.to_string(), tenant.entries.unsigned_abs());
        let mut progress = Progress::new(&line);
        let archived = archive(db, &bucket, &tenant, |done| progress.tell(done.unsigned_abs(), all)).await;
        progress.clear();
        match archived {
            Ok(entries) => println!("{line}: {entries} entries archived."),
            Err(error) => {
                code = fail(format!("{line}: not all is archived, and nothing is lost: {error}"));
                match error {
                    ArchiveError::Storage(error) if !error.concerns_all() => {}
                    ArchiveError::Flawed(_) => {}
                    _ => return Ok(code),
                }
            }
        }
    }
    Ok(code)
}

/// What is said of the files, and whether all of it is good.
#[derive(Default)]
struct Verdict {
    is_broken: bool,
    spans: Vec<(String, Span)>,
}

/// `web audit verify --archive`.
pub(super) fn verify(files: &[PathBuf]) -> ExitCode {
    let mut verdict = Verdict::default();
    for file in files {
        verdict.read(file);
    }
    verdict.spans.sort_by_key(|(_, span)| (span.tenant_id.clone(), span.first_place));
    verdict.join();
    if let Err(error) = verdict.compare() {
        return fail(format!("the files were not compared with the database: {error}"));
    }
    if verdict.is_broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Verdict {
    fn read(&mut self, file: &Path) {
        let name = file.display().to_string();
        let checked = match fs::read_to_string(file) {
            Ok(text) => check(&text).map_err(|flaw| flaw.to_string()),
            Err(error) => Err(format!("it cannot be read ({error})")),
        };
        let checked = checked.and_then(|span| match named_end(file) {
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
                self.spans.push((name, span));
            }
            Err(why) => self.is_bad(&name, &why),
        }
    }

    /// Whether each file goes on where the one before it ends.
    fn join(&mut self) {
        for pair in self.spans.clone().windows(2) {
            let [(name, one), (next_name, next)] = pair else { continue };
            if one.tenant_id != next.tenant_id {
                continue;
            }
            match next.first_place - one.last_place {
                1 if next.previous_hash != one.hash => {
                    self.is_bad(next_name, &format!("it does not join {name}"))
                }
                1 => {}
                2.. => println!(
                    "{}: entries {} to {} are in none of these files",
                    one.tenant_id,
                    one.last_place + 1,
                    next.first_place - 1
                ),
                _ => self.is_bad(next_name, &format!("it has entries that are in {name}, too")),
            }
        }
    }

    /// Whether the files join what the database has of the same chains; whoever writes a whole new file is found by that.
    fn compare(&mut self) -> anyhow::Result<()> {
        let mut env = read_environment()?;
        if self.spans.is_empty() || (env.text("DATABASE_URL").is_none() && env.text("SUPABASE_URL").is_none())
        {
            println!("Nothing was compared with a database.");
            return Ok(());
        }
        let (database, master_keys) = (DatabaseSettings::read(&mut env), read_master_keys(&mut env));
        let (database, master_keys) = env.finish(|| Some((database?, master_keys?)))?;
        block_on(async {
            let db = open(&database, master_keys)?;
            db.check_schema().await?;
            let mut tx = db.begin_for_all().await?;
            for (name, span) in self.spans.clone() {
                match joins(&mut tx, &span).await? {
                    Some(true) => println!("{name}: joins what is in the database"),
                    Some(false) => self.is_bad(&name, "it does not join what is in the database"),
                    None => {}
                }
            }
            Ok(())
        })
    }

    fn is_bad(&mut self, name: &str, why: &str) {
        println!("{name}: BROKEN: {why}");
        self.is_broken = true;
    }
}

/// The last entry that a file has by its name, as it is in the archive.
fn named_end(file: &Path) -> Option<i64> {
    file.file_stem()?.to_str()?.split_once('-')?.1.parse().ok()
}

/// Whether the ends of a file are those that the database has; `None` where it has neither.
async fn joins(tx: &mut Tx, span: &Span) -> Result<Option<bool>, DbError> {
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
