//! A day of the queue in fast forward: whether its tables keep their size, with the parameters of the migrations and
//! with Postgres' own.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::measured::Figure;
use crate::binaries::Binaries;
use crate::cluster::Options;
use crate::progress::step;
use crate::settings::Ports;
use crate::stack::Stack;
use crate::workspace;

/// Events of a day; each is answered at once.
const EVENTS: usize = 200_000;
/// Finished events that are kept, so that the purge has as much to do as the inserts.
const KEPT: usize = 40_000;
/// Between two looks of autovacuum, which takes one a minute: about seven minutes of such a day.
const LOOK: usize = 1_000;
const TABLES: [&str; 3] = ["events", "threads", "replies"];

struct Figures {
    live: u64,
    dead: u64,
    hot_percent: f64,
    table_mib: f64,
    index_mib: f64,
}

/// Runs the same day twice.
pub(super) fn run(binaries: &Binaries) -> Result<Vec<Figure>> {
    println!("\nparameters   table    when            live     dead   HOT %   table MiB   index MiB");
    for (name, own) in [("migrations'", true), ("Postgres'", false)] {
        let folder = workspace::target().join("bench/postgres");
        let options = Options { fsync: false, fresh: true };
        let stack = step("starting Postgres", || Stack::start(binaries, &folder, options, Ports::free()?))?;
        let script = workspace::root().join("crates/xtask/src/bench/day.sql");
        pass_day(&stack, name, own, &script)?;
    }
    println!(
        "\n{EVENTS} events in each day, of which the last {KEPT} are kept; then each table written anew."
    );
    Ok(Vec::new())
}

fn pass_day(stack: &Stack, name: &str, own: bool, script: &Path) -> Result<()> {
    stack.ask("insert into tenants (tenant_id, name) values ('T0ACME', 'Acme')")?;
    stack.cluster.run_file(stack.database(), script)?;
    for table in TABLES {
        let reset = "fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold";
        if !own {
            stack.ask(&format!("alter table {table} reset ({reset})"))?;
        }
        stack.ask(&format!("alter table {table} set (autovacuum_enabled = false)"))?;
    }
    let began = Instant::now();
    for first in (1..=EVENTS).step_by(LOOK) {
        stack.ask(&format!("call churn({first}, {}, {KEPT})", first + LOOK - 1))?;
        for table in stack.ask("select relname from vacuum_due")?.lines() {
            stack.ask(&format!("vacuum (analyze) {table}"))?;
        }
        if first + LOOK - 1 == KEPT + KEPT / 2 {
            print(stack, name, "early")?;
        }
    }
    print(stack, name, "at the end")?;
    let took = began.elapsed();
    for table in TABLES {
        stack.ask(&format!("vacuum (full, analyze) {table}"))?;
    }
    print(stack, name, "written anew")?;
    println!("{name:12} the day took {took:.1?}");
    Ok(())
}

fn print(stack: &Stack, name: &str, when: &str) -> Result<()> {
    for table in TABLES {
        let Figures { live, dead, hot_percent, table_mib, index_mib } = measure(stack, table)?;
        println!(
            "{name:12} {table:8} {when:12} {live:8} {dead:8} {hot_percent:7.1} {table_mib:11.1} {index_mib:11.1}"
        );
    }
    Ok(())
}

fn measure(stack: &Stack, table: &str) -> Result<Figures> {
    let row = stack.ask(&format!(
        "select (select count(*) from {table}), n_dead_tup,
                coalesce(100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0), 0),
                pg_table_size(relid) / 1048576.0, pg_indexes_size(relid) / 1048576.0
         from pg_stat_user_tables where relname = '{table}'"
    ))?;
    let mut columns = row.split('|');
    let mut next = || columns.next().context("a column is missing");
    Ok(Figures {
        live: next()?.parse()?,
        dead: next()?.parse()?,
        hot_percent: next()?.parse()?,
        table_mib: next()?.parse()?,
        index_mib: next()?.parse()?,
    })
}
