//! A private Postgres of the checkout, which ends with the process that started it.

mod pooler;
mod server;
mod standby;
mod tls;

use std::fs;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::postgres::{PostgresPrograms, ServerUser};
use crate::{child_process, workspace};
pub use pooler::Pooler;
pub use tls::SignedCertificate;

/// The role that owns the databases. Like Supabase's `postgres` it is not a superuser.
pub const ROLE: &str = "enablebot";

/// The role that the services log in as. It owns nothing.
pub const SERVICE_ROLE: &str = "enablebot_app";

/// The schema of the services' tables. It is on psql's search path here.
pub const SCHEMA: &str = "enablebot";

const POSTGRES_START_TIMEOUT: Duration = Duration::from_secs(60);
const POSTGRES_STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Options of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct ClusterOptions {
    /// If true, a commit waits for the disk. Only tests may turn this off.
    pub fsync: bool,
    /// If true, the cluster starts empty and deletes its data when it is dropped.
    pub is_ephemeral: bool,
}

/// A running Postgres on a free port of loopback.
#[derive(Debug)]
pub struct Cluster {
    programs: PostgresPrograms,
    data: PathBuf,
    log: PathBuf,
    fsync: bool,
    is_ephemeral: bool,
    port: u16,
    server: Child,
}

impl Cluster {
    /// Starts the cluster in `folder`. Creates it if there is none.
    pub fn start(folder: &Path, options: ClusterOptions) -> Result<Self> {
        let programs = PostgresPrograms::find_or_install()?;
        let user = ServerUser::find_required();
        let data = server::data_folder(folder, user)?;
        let log = data.with_extension("log");
        server::wait_for_previous_server(&data)?;
        if options.is_ephemeral || !data.join("PG_VERSION").exists() {
            server::init_data_folder(&programs, user, &data)?;
        }
        let port = free_port()?;
        let server = server::spawn_server(&programs, user, &data, &log, port, options.fsync)?;
        let ClusterOptions { fsync, is_ephemeral: fresh } = options;
        let mut cluster = Self { programs, data, log, fsync, is_ephemeral: fresh, port, server };
        cluster.wait_until_ready()?;
        cluster.ensure_role()?;
        Ok(cluster)
    }

    /// Returns the address of a database, for the role that owns it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Logs every statement from now on, prefixed with `<database>`. Returns the path of the log.
    pub fn log_statements(&self) -> Result<&Path> {
        for set in ["log_min_duration_statement = 0", "log_line_prefix = '<%d> '"] {
            self.query_as("postgres", "postgres", &format!("alter system set {set}"))?;
        }
        self.query_as("postgres", "postgres", "select pg_reload_conf()")?;
        Ok(&self.log)
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Creates an empty database that [`ROLE`] owns.
    pub fn create_database(&self, name: &str) -> Result<()> {
        self.query_as("postgres", "postgres", &format!("create database \"{name}\" owner {ROLE}")).map(drop)
    }

    /// Drops a database and its connections, if it exists.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.query_as("postgres", "postgres", &format!("drop database if exists \"{name}\" with (force)"))
            .map(drop)
    }

    /// Returns whether a database exists.
    pub fn has_database(&self, name: &str) -> Result<bool> {
        let query = format!("select count(*) from pg_database where datname = '{name}'");
        Ok(self.query_as("postgres", "postgres", &query)? == "1")
    }

    /// Runs SQL as [`ROLE`] and returns psql's output: one line per row, columns separated by `|`.
    pub fn query(&self, database: &str, sql: &str) -> Result<String> {
        self.query_as(ROLE, database, sql)
    }

    /// Runs a file of SQL as [`ROLE`], in one transaction unless its first line forbids that, like sqlx's
    /// migrations.
    pub fn run_file(&self, database: &str, file: &Path) -> Result<()> {
        let sql = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut psql = self.psql(ROLE, database);
        if !sql.starts_with("-- no-transaction") {
            psql.arg("--single-transaction");
        }
        workspace::output(psql.arg("--file").arg(file)).map(drop)
    }

    /// A program of Postgres (`pgbench`, `pg_dump`) that connects to this cluster as [`ROLE`].
    pub fn client(&self, program: &str) -> Command {
        self.client_as(program, ROLE)
    }

    /// Stops the server with a fast shutdown and waits until it has ended.
    pub fn stop(&mut self) -> Result<()> {
        child_process::stop(&mut self.server, child_process::Signal::INT, POSTGRES_STOP_TIMEOUT)?;
        Ok(())
    }

    /// Stops the server and all connections, and starts it again on the same port after a pause.
    pub fn restart(&mut self, pause: Duration) -> Result<()> {
        self.stop()?;
        std::thread::sleep(pause);
        self.relaunch()
    }

    /// Ends the server as in a crash: without a checkpoint, and with all connections cut off.
    pub fn crash(&mut self) -> Result<()> {
        child_process::stop(&mut self.server, child_process::Signal::QUIT, POSTGRES_STOP_TIMEOUT)?;
        Ok(())
    }

    /// Starts a stopped server again on the same port, and waits until it accepts connections.
    pub fn relaunch(&mut self) -> Result<()> {
        let user = ServerUser::find_required();
        self.server =
            server::spawn_server(&self.programs, user, &self.data, &self.log, self.port, self.fsync)?;
        self.wait_until_ready()
    }

    fn client_as(&self, program: &str, role: &str) -> Command {
        let mut command = Command::new(self.programs.path(program));
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", role);
        command.env("PGOPTIONS", format!("-c search_path={SCHEMA},public"));
        command
    }

    fn psql(&self, role: &str, database: &str) -> Command {
        let mut psql = self.client_as("psql", role);
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"]);
        psql.args(["--dbname", database]);
        psql
    }

    fn query_as(&self, role: &str, database: &str, sql: &str) -> Result<String> {
        let answer = workspace::output(self.psql(role, database).args(["--command", sql]))?;
        Ok(answer.trim_end().to_owned())
    }

    fn ensure_role(&self) -> Result<()> {
        for (role, attributes) in
            [(ROLE, "createrole createdb bypassrls nosuperuser"), (SERVICE_ROLE, "noinherit")]
        {
            let query = format!("select count(*) from pg_roles where rolname = '{role}'");
            if self.query_as("postgres", "postgres", &query)? == "0" {
                self.query_as("postgres", "postgres", &format!("create role {role} login {attributes}"))?;
            }
        }
        // So that tests may look at the services' sessions and end them.
        self.query_as("postgres", "postgres", &format!("grant {SERVICE_ROLE} to {ROLE}")).map(drop)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let until = Instant::now() + POSTGRES_START_TIMEOUT;
        while self.query_as("postgres", "postgres", "select 1").is_err() {
            if self.server.try_wait()?.is_some() || Instant::now() > until {
                bail!(
                    "Postgres did not start; the end of {}:\n{}",
                    self.log.display(),
                    server::log_tail(&self.log)
                );
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.stop().is_ok() && self.is_ephemeral {
            let _ = fs::remove_dir_all(&self.data);
            let _ = fs::remove_file(&self.log);
        }
    }
}

/// Ports below the range that systems use for outgoing connections, which could take a port before it is
/// used.
const PORT_RANGE: Range<u16> = 10_000..32_000;

/// Returns a port of loopback that is free now.
pub fn free_port() -> Result<u16> {
    static NEXT_OFFSET: AtomicU32 = AtomicU32::new(0);
    // Concurrent processes start their search at different ports.
    let first = std::process::id().wrapping_mul(16);
    let count = u32::from(PORT_RANGE.end - PORT_RANGE.start);
    for _ in 0..count {
        let place = first.wrapping_add(NEXT_OFFSET.fetch_add(1, Ordering::Relaxed)) % count;
        let port = PORT_RANGE.start + u16::try_from(place)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("none of the ports {PORT_RANGE:?} is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn killed_server_restarts_with_its_data() {
        let folder = workspace::target().join(format!("test/cluster-{}", std::process::id()));
        let mut killed =
            Cluster::start(&folder, ClusterOptions { fsync: true, is_ephemeral: false }).unwrap();
        killed.create_database("kept").unwrap();
        killed.server.kill().unwrap();
        killed.server.wait().unwrap();
        assert!(killed.data.join("postmaster.pid").exists());
        let mut next = Cluster::start(&folder, ClusterOptions { fsync: true, is_ephemeral: false }).unwrap();
        assert!(next.has_database("kept").unwrap());
        next.is_ephemeral = true;
        let data = next.data.clone();
        drop(next);
        assert!(!data.exists());
    }

    #[test]
    fn role_has_same_rights_as_supabase() {
        let folder = workspace::target().join(format!("test/role-{}", std::process::id()));
        let cluster = Cluster::start(&folder, ClusterOptions { fsync: false, is_ephemeral: true }).unwrap();
        let rights =
            "select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls from pg_roles where rolname = user";
        assert_eq!(cluster.query("postgres", rights).unwrap(), "f|t|t|t");
    }
}
