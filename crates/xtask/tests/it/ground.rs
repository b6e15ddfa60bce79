//! What tests stand on: the built programs and a Postgres, each test with a database of its own.

use std::process::Command;
use std::sync::OnceLock;

use xtask::binaries::Binaries;
use xtask::cluster::{Cluster, Options, SCHEMA};
use xtask::postgres::Programs;
use xtask::workspace;

/// The programs of this checkout, built if they are not.
pub(crate) fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| Binaries::build(false).expect("the programs build"))
}

/// The server's address up to the database's name: that of `cargo xtask test`, or one started for this process. It
/// ends with the process, since nothing ends a static.
fn server() -> &'static str {
    static SERVER: OnceLock<String> = OnceLock::new();
    SERVER.get_or_init(|| {
        let url = std::env::var("TEST_DATABASE_URL").unwrap_or_else(|_| {
            // Tests that nextest runs side by side have each a slot, and so a folder.
            let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").unwrap_or_default();
            let folder = workspace::target().join(format!("test/it{slot}"));
            let cluster = Cluster::start(&folder, Options { fsync: false, fresh: true });
            let cluster = Box::leak(Box::new(cluster.expect("Postgres starts")));
            cluster.url("postgres")
        });
        url.rsplit_once('/').expect("a database's name").0.to_owned()
    })
}

/// A Postgres of the test's own.
pub(crate) fn own_cluster(name: &str) -> Cluster {
    let folder = workspace::target().join(format!("test/{name}-{}", std::process::id()));
    Cluster::start(&folder, Options { fsync: false, fresh: true }).expect("Postgres starts")
}

/// A database, dropped with this.
pub(crate) struct Database {
    name: String,
    /// The server's address up to the database's name.
    server: String,
    pub(crate) url: String,
}

impl Database {
    pub(crate) fn create() -> Self {
        Self::create_on(server().to_owned())
    }

    /// In a server of the test's own, which it may restart.
    pub(crate) fn create_in(cluster: &Cluster) -> Self {
        let url = cluster.url("postgres");
        Self::create_on(url.trim_end_matches("/postgres").to_owned())
    }

    fn create_on(server: String) -> Self {
        let name = format!("it_{}", uuid::Uuid::new_v4().simple());
        psql(&format!("{server}/postgres"), &format!("create database {name}"));
        Self { url: format!("{server}/{name}"), server, name }
    }

    /// The database's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL and returns what psql prints: columns parted by `|`, a row a line.
    pub(crate) fn ask(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Not `with (force)`: it is refused while Postgres vacuums there, whose process is a superuser's. Without, it
            // asks the vacuum to end and waits for everybody.
            let (server, name) = (format!("{}/postgres", self.server), &self.name);
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
    let programs = Programs::find_or_install().expect("Postgres' programs");
    let mut psql = Command::new(programs.path("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"]);
    psql.env("PGOPTIONS", format!("-c search_path={SCHEMA},public"));
    workspace::output(psql.args(["--dbname", url, "--command", sql]))
        .expect("the SQL runs")
        .trim_end()
        .to_owned()
}
