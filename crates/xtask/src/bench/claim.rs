//! Time of a worker's claim by the number of waiting events and tenants, and time to move events into the
//! queue. A program of `db` measures it, since only `db` knows its queries.

use anyhow::Result;

use super::results::BenchResult;
use crate::binaries::Binaries;
use crate::cluster::ClusterOptions;
use crate::progress::step;
use crate::settings::Ports;
use crate::stack::Stack;
use crate::workspace;

/// Runs on a database that nothing else uses.
pub(super) fn run(binaries: &Binaries) -> Result<Vec<BenchResult>> {
    let folder = workspace::target().join("bench/postgres");
    let options = ClusterOptions { fsync: true, is_ephemeral: true };
    let stack = step("starting Postgres", || Stack::start(binaries, &folder, options, Ports::free()?))?;
    let url = stack.cluster.url(stack.database());
    let example = ["run", "--quiet", "--release", "--package", "db", "--example", "claim", "--"];
    let table = step("claiming from queues of 10 to 1,000,000, of 1,000 and 100,000 tenants", || {
        workspace::output(workspace::cargo(&example).arg(url))
    })?;
    println!("\n{table}\nClaim and next event, two transactions, each committed with fsync on.");
    Ok(Vec::new())
}
