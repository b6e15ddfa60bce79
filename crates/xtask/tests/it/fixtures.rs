//! What tests stand on: the built programs and a Postgres, each test with a database of its own.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha384};
use xtask::binaries::Binaries;
use xtask::cluster::{Cluster, ClusterOptions, SCHEMA};
use xtask::postgres::PostgresPrograms;
use xtask::workspace;

/// The programs of this checkout, built if they are not.
pub(crate) fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| Binaries::build(false).expect("the programs build"))
}

/// The server's address up to the database's name: that of `cargo xtask test`, or one started for this process. It
/// ends with the process, since nothing ends a static.
fn test_server_url() -> &'static str {
    static SERVER: OnceLock<String> = OnceLock::new();
    SERVER.get_or_init(|| {
        let url = std::env::var("TEST_DATABASE_URL").unwrap_or_else(|_| {
            // Tests that nextest runs side by side have each a slot, and so a folder.
            let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").unwrap_or_default();
            let folder = workspace::target().join(format!("test/it{slot}"));
            let cluster = Cluster::start(&folder, ClusterOptions { fsync: false, is_ephemeral: true });
            let cluster = Box::leak(Box::new(cluster.expect("Postgres starts")));
            cluster.url("postgres")
        });
        url.rsplit_once('/').expect("a database's name").0.to_owned()
    })
}

/// A Postgres of the test's own.
pub(crate) fn start_cluster(name: &str) -> Cluster {
    let folder = workspace::target().join(format!("test/{name}-{}", std::process::id()));
    Cluster::start(&folder, ClusterOptions { fsync: false, is_ephemeral: true }).expect("Postgres starts")
}

/// A database, dropped with this.
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

    /// In a server of the test's own, which it may restart.
    pub(crate) fn create_on_cluster(cluster: &Cluster) -> Self {
        let url = cluster.url("postgres");
        Self::create_on_server(url.trim_end_matches("/postgres").to_owned())
    }

    fn create_on_server(server_url: String) -> Self {
        let name = format!("it_{}", uuid::Uuid::new_v4().simple());
        psql(&format!("{server_url}/postgres"), &format!("create database {name}"));
        Self { url: format!("{server_url}/{name}"), server_url, name }
    }

    /// As a release left it that carried the migrations up to this one, and had its tables in `public`.
    pub(crate) fn create_at_migration(version: i64) -> Self {
        let database = Self::create();
        database.query_in_schema(
            "public",
            "create table _sqlx_migrations (version bigint primary key, description text not null,
                 installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null,
                 execution_time bigint not null)",
        );
        let folder = workspace::root().join("migrations");
        let files =
            fs::read_dir(folder).expect("the migrations").map(|entry| entry.expect("an entry").path());
        let mut files: Vec<_> = files.collect();
        files.sort();
        for file in files {
            let sql = fs::read_to_string(&file).expect("SQL");
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            let (number, description) = name.split_once('_').expect("a number and a name");
            let number: i64 = number.parse().expect("a number");
            if number <= version {
                let checksum = hex::encode(Sha384::digest(sql.as_bytes()));
                let noted = format!(
                    "insert into _sqlx_migrations values
                         ({number}, '{}', now(), true, decode('{checksum}', 'hex'), 0)",
                    description.replace('_', " ")
                );
                database.query_in_schema("public", &format!("{sql};\n{noted}"));
            }
        }
        database
    }

    /// Runs SQL in another schema than that of today.
    pub(crate) fn query_in_schema(&self, schema: &str, sql: &str) -> String {
        psql_in(&self.url, schema, sql)
    }

    /// The database's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL and returns what psql prints: columns parted by `|`, a row a line.
    pub(crate) fn query(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Not `with (force)`: it is refused while Postgres vacuums there, whose process is a superuser's. Without, it
            // asks the vacuum to end and waits for everybody.
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
    psql_in(url, &format!("{SCHEMA},public"), sql)
}

fn psql_in(url: &str, search_path: &str, sql: &str) -> String {
    let programs = PostgresPrograms::find_or_install().expect("Postgres' programs");
    let mut psql = Command::new(programs.path("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"]);
    psql.env("PGOPTIONS", format!("-c search_path={search_path}"));
    workspace::output(psql.args(["--dbname", url, "--command", sql]))
        .expect("the SQL runs")
        .trim_end()
        .to_owned()
}
