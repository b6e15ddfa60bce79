//! `cargo xtask prepare`: stores query metadata for sqlx's macros in `.sqlx`, so that a build needs no
//! database.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::cluster::{self, Cluster, SCHEMA};
use crate::progress::step;
use crate::workspace;

/// Options of `cargo xtask prepare`.
#[derive(Debug, Default, clap::Args)]
pub struct PrepareOptions {
    /// Change nothing; fail if `.sqlx` does not match the queries and the migrations.
    #[arg(long)]
    pub check: bool,
}

/// Describes every query of `db` with a database that has all migrations, and stores or compares the results.
pub fn run(options: &PrepareOptions) -> Result<()> {
    let fresh = describe_queries()?;
    let kept = workspace::root().join(".sqlx");
    let (fresh, old) = (read_query_files(&fresh)?, read_query_files(&kept)?);
    if fresh == old {
        println!(".sqlx matches all {} queries", fresh.len());
        return Ok(());
    }
    if options.check {
        // Otherwise cargo considers `db` built, although a clean build would fail.
        touch_crate_roots()?;
        bail!("{}. Run `cargo xtask prepare` and commit .sqlx.", describe_difference(&fresh, &old));
    }
    replace_query_files(&kept, &fresh)?;
    println!("wrote {} queries to .sqlx: {}", fresh.len(), describe_difference(&fresh, &old));
    Ok(())
}

/// Lets sqlx's macros write query metadata from a real database. Returns the folder.
fn describe_queries() -> Result<PathBuf> {
    const PREPARE_DATABASE: &str = "prepare";
    let folder = workspace::target().join("prepare");
    let answers = folder.join("sqlx");
    if answers.exists() {
        fs::remove_dir_all(&answers)?;
    }
    fs::create_dir_all(&answers)?;
    let cluster = step("starting Postgres", || {
        Cluster::start(&folder.join("postgres"), cluster::ClusterOptions { fsync: false, is_ephemeral: true })
    })?;
    step("applying the migrations", || {
        cluster.create_database(PREPARE_DATABASE)?;
        apply_migrations(&cluster, PREPARE_DATABASE)
    })?;
    touch_crate_roots()?;
    let mut check = workspace::cargo(&["check", "--package", "db", "--all-targets"]);
    let url = format!("{}?options[search_path]={SCHEMA}", cluster.url(PREPARE_DATABASE));
    check.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", &answers).env("DATABASE_URL", url);
    workspace::run(&mut check)?;
    Ok(answers)
}

/// Applies `migrations/` with psql in sqlx's order, so that it works even if `web` does not compile.
pub fn apply_migrations(cluster: &Cluster, database: &str) -> Result<()> {
    cluster.query(database, &format!("create schema if not exists {SCHEMA}"))?;
    let folder = workspace::root().join("migrations");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<(i64, PathBuf)> = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let version = name.split_once('_').and_then(|(version, _)| version.parse().ok());
        if let (Some(version), true) = (version, name.ends_with(".sql") && !name.ends_with(".down.sql")) {
            files.push((version, path));
        }
    }
    files.sort();
    files.iter().try_for_each(|(_, file)| cluster.run_file(database, file))
}

/// Makes cargo compile all of `db` again, since the macros run only then.
fn touch_crate_roots() -> Result<()> {
    let metadata =
        workspace::output(&mut workspace::cargo(&["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets =
        packages.filter(|package| package["name"] == "db").filter_map(|db| db["targets"].as_array());
    for source in targets.flatten().filter_map(|target| target["src_path"].as_str()) {
        File::options().append(true).open(source)?.set_modified(SystemTime::now())?;
    }
    Ok(())
}

/// Reads the files of a `.sqlx` folder, by name.
fn read_query_files(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?);
    }
    Ok(files)
}

fn replace_query_files(folder: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    files.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text).map_err(Into::into))
}

fn describe_difference(fresh: &BTreeMap<String, String>, old: &BTreeMap<String, String>) -> String {
    let new = fresh.keys().filter(|name| !old.contains_key(*name)).count();
    let gone = old.keys().filter(|name| !fresh.contains_key(*name)).count();
    let changed = fresh.iter().filter(|(name, text)| old.get(*name).is_some_and(|old| old != *text)).count();
    format!("{new} new, {changed} changed, {gone} unused")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_is_counted_by_kind() {
        let of = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let fresh = of(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let old = of(&[("b", "2"), ("c", "4"), ("d", "5")]);
        assert_eq!(describe_difference(&fresh, &old), "1 new, 1 changed, 1 unused");
    }
}
