//! `web tombstones …`: deletions without names, kept beside the backups and replayed after a restore.

use std::fs;
use std::io::{self, Read};
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;
use db::replay::Replayed;
use db::tombstones::{Tombstone, TombstoneKind};
use db::{Db, DbError};

use super::{DbAccess, block_on, fail, run_query};
use crate::settings::read_environment;

/// The file that stands for the standard input.
const STDIN_FILE: &str = "-";

/// Commands of `web tombstones`.
#[derive(Debug, Subcommand)]
pub enum TombstonesCommand {
    /// Print all tombstones, one a line: kind, digest, master key, time. They contain no names
    Export,
    /// Add the tombstones of a file to a restored database, and delete again what they say was deleted
    /// (ENCRYPTION_KEYS)
    Import {
        /// The output of `export`, or several of them joined; - reads the standard input
        file: String,
    },
}

/// Runs the command.
pub fn run(command: TombstonesCommand) -> ExitCode {
    match command {
        TombstonesCommand::Export => export(),
        TombstonesCommand::Import { file } => match read_file(&file) {
            Ok(tombstones) => import(&tombstones),
            Err(problem) => fail(problem),
        },
    }
}

fn export() -> ExitCode {
    run_query(async |tx| {
        let lines = db::tombstones::list(tx).await?.into_iter().map(|tombstone| {
            let Tombstone { kind, digest, master_key_id, made_at } = tombstone;
            let made_at = made_at.to_rfc3339_opts(SecondsFormat::Micros, true);
            format!("{},{digest},{master_key_id},{made_at}", kind.as_str())
        });
        Ok(lines.collect::<Vec<_>>().join("\n"))
    })
}

fn import(tombstones: &[Tombstone]) -> ExitCode {
    let imported = with_database(async |db| {
        let mut tx = db.begin_cross_tenant().await?;
        let added = db::tombstones::import(&mut tx, tombstones).await?;
        tx.commit().await?;
        Ok((added, db::replay::replay(db).await?))
    });
    match imported {
        Ok((added, replayed)) => {
            println!("{added} of {} tombstones are new here. {}", tombstones.len(), describe(replayed));
            ExitCode::SUCCESS
        }
        Err(problem) => fail(problem),
    }
}

/// Replays the tombstones that are still pending, and returns what to print about it.
pub(super) fn replay_pending() -> Result<String, String> {
    with_database(async |db| db::replay::replay(db).await).map(describe)
}

fn with_database<T>(work: impl AsyncFnOnce(&Db) -> Result<T, DbError>) -> Result<T, String> {
    let access = read_environment().and_then(|mut env| {
        let access = DbAccess::read(&mut env);
        env.finish(|| access)
    });
    let access = access.map_err(|error| error.to_string())?;
    let done = block_on(async { work(&access.open().await?).await });
    done.map_err(|error| format!("The tombstones were not replayed: {error}"))
}

fn describe(replayed: Replayed) -> String {
    let Replayed { tenants, people } = replayed;
    format!("Deleted again: {tenants} workspace(s), {people} person(s).")
}

fn read_file(file: &str) -> Result<Vec<Tombstone>, String> {
    let text = if file == STDIN_FILE {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    let text = text.map_err(|error| format!("{file} cannot be read: {error}"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            parse_line(line.trim()).ok_or_else(|| {
                format!(
                    "Line {} of {file} is no tombstone. Expected the output of `web tombstones export`.",
                    index + 1
                )
            })
        })
        .collect()
}

fn parse_line(line: &str) -> Option<Tombstone> {
    let [kind, digest, master_key_id, made_at] = line.split(',').collect::<Vec<_>>()[..] else { return None };
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let made_at = DateTime::parse_from_rfc3339(made_at).ok()?.with_timezone(&Utc);
    let kind = TombstoneKind::parse(kind)?;
    let (digest, master_key_id) = (digest.to_owned(), master_key_id.to_owned());
    is_digest.then_some(Tombstone { kind, digest, master_key_id, made_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_tombstone_is_refused() {
        let digest = "ab".repeat(32);
        let line = format!("person,{digest},k1,2026-11-30T20:00:00.123456Z");
        let parsed = parse_line(&line).unwrap();
        assert_eq!((parsed.kind, parsed.made_at.timestamp_subsec_micros()), (TombstoneKind::Person, 123_456));
        for wrong in ["", "person", &line[1..], &line.replace("ab", "zz"), &line.replace("T20", " 20 h")] {
            assert_eq!(parse_line(wrong), None, "{wrong}");
        }
    }
}
