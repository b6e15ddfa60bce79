//! A day of the queue in fast forward: the growth of its tables, with the migrations' storage parameters and
//! with Postgres' defaults.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::results::BenchResult;
use crate::binaries::Binaries;
use crate::cluster::ClusterOptions;
use crate::progress::step;
use crate::settings::Ports;
use crate::stack::Stack;
use crate::workspace;

/// Events of a day. Each is answered at once.
const DAY_EVENTS: usize = 200_000;
/// Finished events that are kept, so that the purge deletes as much as is inserted.
const RETAINED_EVENTS: usize = 40_000;
/// Events between two runs of autovacuum, which runs once a minute: about seven minutes of such a day.
const VACUUM_INTERVAL_EVENTS: usize = 1_000;
const BLOAT_TABLES: [&str; 3] = ["events", "threads", "replies"];

struct TableBloat {
    live_rows: u64,
    dead_rows: u64,
    hot_percent: f64,
    table_mib: f64,
    index_mib: f64,
}

/// Runs the same day with both settings.
pub(super) fn run(binaries: &Binaries) -> Result<Vec<BenchResult>> {
    println!("\nparameters   table    when            live     dead   HOT %   table MiB   index MiB");
    for (name, own) in [("migrations'", true), ("Postgres'", false)] {
        let folder = workspace::target().join("bench/postgres");
        let options = ClusterOptions { fsync: false, is_ephemeral: true };
        let stack = step("starting Postgres", || Stack::start(binaries, &folder, options, Ports::free()?))?;
        let script = workspace::root().join("crates/xtask/src/bench/day.sql");
        run_day(&stack, name, own, &script)?;
    }
    println!(
        "\n{DAY_EVENTS} events in each day, of which the last {RETAINED_EVENTS} are kept; then each table is rewritten."
    );
    Ok(Vec::new())
}

fn run_day(stack: &Stack, name: &str, has_migration_settings: bool, script: &Path) -> Result<()> {
    stack.query("insert into tenants (tenant_id, name) values ('T0ACME', 'Acme')")?;
    stack.cluster.run_file(stack.database(), script)?;
    for table in BLOAT_TABLES {
        let reset = "fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold";
        if !has_migration_settings {
            stack.query(&format!("alter table {table} reset ({reset})"))?;
        }
        stack.query(&format!("alter table {table} set (autovacuum_enabled = false)"))?;
    }
    let began = Instant::now();
    for first in (1..=DAY_EVENTS).step_by(VACUUM_INTERVAL_EVENTS) {
        stack.query(&format!(
            "call churn({first}, {}, {RETAINED_EVENTS})",
            first + VACUUM_INTERVAL_EVENTS - 1
        ))?;
        for table in stack.query("select relname from vacuum_due")?.lines() {
            stack.query(&format!("vacuum (analyze) {table}"))?;
        }
        if first + VACUUM_INTERVAL_EVENTS - 1 == RETAINED_EVENTS + RETAINED_EVENTS / 2 {
            print_tables(stack, name, "early")?;
        }
    }
    print_tables(stack, name, "at the end")?;
    let took = began.elapsed();
    for table in BLOAT_TABLES {
        stack.query(&format!("vacuum (full, analyze) {table}"))?;
    }
    print_tables(stack, name, "rewritten")?;
    println!("{name:12} the day took {took:.1?}");
    Ok(())
}

fn print_tables(stack: &Stack, name: &str, when: &str) -> Result<()> {
    for table in BLOAT_TABLES {
        let TableBloat { live_rows: live, dead_rows: dead, hot_percent, table_mib, index_mib } =
            measure_table(stack, table)?;
        println!(
            "{name:12} {table:8} {when:12} {live:8} {dead:8} {hot_percent:7.1} {table_mib:11.1} {index_mib:11.1}"
        );
    }
    Ok(())
}

fn measure_table(stack: &Stack, table: &str) -> Result<TableBloat> {
    let row = stack.query(&format!(
        "select (select count(*) from {table}), n_dead_tup,
                coalesce(100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0), 0),
                pg_table_size(relid) / 1048576.0, pg_indexes_size(relid) / 1048576.0
         from pg_stat_user_tables where relname = '{table}'"
    ))?;
    let mut columns = row.split('|');
    let mut next = || columns.next().context("a column is missing");
    Ok(TableBloat {
        live_rows: next()?.parse()?,
        dead_rows: next()?.parse()?,
        hot_percent: next()?.parse()?,
        table_mib: next()?.parse()?,
        index_mib: next()?.parse()?,
    })
}
