//! Test fixtures: the built programs, and a Postgres with a database per test.

use std::process::Command;
use std::sync::OnceLock;

use xtask::binaries::Binaries;
use xtask::cluster::{Cluster, ClusterOptions, SCHEMA};
use xtask::postgres::PostgresPrograms;
use xtask::workspace;

/// Returns the programs of this checkout. Builds them if needed.
pub(crate) fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| Binaries::build(false).expect("the programs build"))
}

/// Returns the server's address up to the database's name: the server of `cargo xtask test`, or one started
/// for this process. That one ends with the process, since a static is never dropped.
fn test_server_url() -> &'static str {
    static SERVER: OnceLock<String> = OnceLock::new();
    SERVER.get_or_init(|| {
        let url = std::env::var("TEST_DATABASE_URL").unwrap_or_else(|_| {
            // Concurrent tests of nextest each have a slot, and so a folder.
            let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").unwrap_or_default();
            let folder = workspace::target().join(format!("test/it{slot}"));
            let cluster = Cluster::start(&folder, ClusterOptions { fsync: false, is_ephemeral: true });
            let cluster = Box::leak(Box::new(cluster.expect("Postgres starts")));
            cluster.url("postgres")
        });
        url.rsplit_once('/').expect("a database's name").0.to_owned()
    })
}

/// Starts a Postgres of the test's own.
pub(crate) fn start_cluster(name: &str) -> Cluster {
    let folder = workspace::target().join(format!("test/{name}-{}", std::process::id()));
    Cluster::start(&folder, ClusterOptions { fsync: false, is_ephemeral: true }).expect("Postgres starts")
}

/// A database that is dropped with this value.
pub(crate) struct TestDatabase {
    name: String,
    /// The server's address up to the database's name.
    server_url: String,
    pub(crate) url: String,
}

impl TestDatabase {
    pub(crate) fn create() -> Self {
        Self::create_on_server(test_server_url().to_owned())
    }

    /// Creates a database in a server of the test's own, which the test may restart.
    pub(crate) fn create_on_cluster(cluster: &Cluster) -> Self {
        let url = cluster.url("postgres");
        Self::create_on_server(url.trim_end_matches("/postgres").to_owned())
    }

    fn create_on_server(server_url: String) -> Self {
        let name = format!("it_{}", uuid::Uuid::new_v4().simple());
        psql(&format!("{server_url}/postgres"), &format!("create database {name}"));
        Self { url: format!("{server_url}/{name}"), server_url, name }
    }

    /// Returns the database's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL and returns psql's output: one line per row, columns separated by `|`.
    pub(crate) fn query(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Not `with (force)`: it fails while autovacuum works in the database, since that process belongs
            // to a superuser. Without it, Postgres asks autovacuum to end and waits for all sessions.
            let (server, name) = (format!("{}/postgres", self.server_url), &self.name);
            let end = format!(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = '{name}' and backend_type = 'client backend'"
            );
            psql(&server, &end);
            psql(&server, &format!("drop database {name}"));
        }
    }
}

pub(crate) fn psql(url: &str, sql: &str) -> String {
    let programs = PostgresPrograms::find_or_install().expect("Postgres' programs");
    let mut psql = Command::new(programs.path("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"]);
    psql.env("PGOPTIONS", format!("-c search_path={SCHEMA},public"));
    workspace::output(psql.args(["--dbname", url, "--command", sql]))
        .expect("the SQL runs")
        .trim_end()
        .to_owned()
}
