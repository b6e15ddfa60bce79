//! Costs of the audit log's hash chain: a row and its entry in one transaction, compared with the same
//! without the chain. Entries of one tenant commit one after the other, so the number of tenants matters.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::pgbench;
use super::results::BenchResult;
use crate::binaries::Binaries;
use crate::cluster::ClusterOptions;
use crate::progress::step;
use crate::settings::Ports;
use crate::stack::Stack;
use crate::{service, workspace};

const AUDIT_CLIENTS: usize = 16;
const AUDIT_TENANTS: [u32; 2] = [64, 1];
const AUDIT_RUN_DURATION: Duration = Duration::from_secs(4);
const AUDIT_ROUNDS: usize = 3;
/// The number of entries that are verified afterwards.
const VERIFIED_ENTRIES: u32 = 100_000;

/// Runs several rounds and returns the median ratio.
pub(super) fn run(binaries: &Binaries) -> Result<Vec<BenchResult>> {
    let folder = workspace::target().join("bench");
    fs::create_dir_all(&folder)?;
    let options = ClusterOptions { fsync: true, is_ephemeral: true };
    let stack = step("starting Postgres", || {
        Stack::start(binaries, &folder.join("postgres"), options, Ports::free()?)
    })?;
    stack.query(
        "insert into tenants (tenant_id, name)
             select 'T' || number, 'Team ' || number from generate_series(0, 64) as number;
         create table pgbench_rows (tenant_id text not null, body text not null);
         create table pgbench_entries (like audit_log including defaults including identity including indexes);
         alter table pgbench_entries alter column place drop not null, alter column hash drop not null",
    )?;
    let mut lines = String::new();
    for tenants in AUDIT_TENANTS {
        let mut rounds = Vec::new();
        for round in 1..=AUDIT_ROUNDS {
            let rate = |table: &str| {
                let what = format!(
                    "{AUDIT_CLIENTS} clients, tenants: {tenants}, into {table}, round {round} of {AUDIT_ROUNDS}"
                );
                step(&what, || transactions_per_second(&stack, table, tenants, &folder))
            };
            rounds.push((rate("audit_log")?, rate("pgbench_entries")?));
        }
        rounds.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
        let (chained, plain) = rounds[AUDIT_ROUNDS / 2];
        lines += &format!("{tenants:>7} {chained:>15.0} {plain:>18.0} {:>8.2}x\n", chained / plain);
    }
    println!(
        "\ntenants   with the chain   without the chain    ratio   (transactions a second, {AUDIT_CLIENTS} clients)"
    );
    println!("{lines}");
    measure_verification(&stack, binaries)?;
    Ok(Vec::new())
}

fn transactions_per_second(stack: &Stack, table: &str, tenants: u32, folder: &Path) -> Result<f64> {
    let script = format!(
        "\\set tenant random(1, {tenants})\n\
         begin;\n\
         insert into pgbench_rows values ('T' || :tenant, 'what was changed');\n\
         insert into {table} (tenant_id, actor, action, detail) \
         values ('T' || :tenant, 'U0ADA', 'settings.changed', '{{\"tone\": \"formal\"}}');\n\
         commit;\n"
    );
    fs::write(folder.join("insert.sql"), script)?;
    Ok(pgbench::run(stack, AUDIT_CLIENTS, AUDIT_RUN_DURATION, folder)?.rate)
}

/// Verifies one chain with a command of `web`.
fn measure_verification(stack: &Stack, binaries: &Binaries) -> Result<()> {
    stack.query(&format!(
        "insert into audit_log (tenant_id, actor, action, detail)
             select 'T0', 'U0ADA', 'settings.changed', '{{}}' from generate_series(1, {VERIFIED_ENTRIES})"
    ))?;
    let entries: f64 = stack.query("select count(*) from audit_log")?.parse()?;
    let begun = Instant::now();
    service::run_command(binaries.path("web")?, &["audit", "verify"], &stack.settings.web_variables())?;
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{entries} entries verified by `web audit verify` in {took:.1} s, {:.0} a second",
        entries / took
    );
    Ok(())
}
