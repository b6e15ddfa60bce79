//! A private Postgres of the checkout, which ends with the process that started it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::postgres::{Programs, ServerUser};
use crate::{launch, workspace};

/// The role that owns the databases; like Supabase's `postgres` it is no superuser.
pub const ROLE: &str = "enablebot";

const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How a cluster is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether a commit waits for the disk. Only tests may do without.
    pub fsync: bool,
}

/// A running Postgres on a free port of loopback.
#[derive(Debug)]
pub struct Cluster {
    programs: Programs,
    data: PathBuf,
    log: PathBuf,
    port: u16,
    server: Child,
}

impl Cluster {
    /// Starts the cluster kept in `folder`, and makes it first if there is none.
    pub fn start(folder: &Path, options: Options) -> Result<Self> {
        let programs = Programs::find_or_install()?;
        let user = ServerUser::needed();
        let data = home(folder, user)?;
        let log = data.with_extension("log");
        if !data.join("PG_VERSION").exists() {
            create(&programs, user, &data)?;
        }
        wait_for_the_last_one(&data)?;
        let port = free_port()?;
        let server = serve(&programs, user, &data, &log, port, options)?;
        let mut cluster = Self { programs, data, log, port, server };
        cluster.wait_until_it_accepts()?;
        cluster.ensure_role()?;
        Ok(cluster)
    }

    /// The address of a database, as the role that owns it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Makes an empty database that [`ROLE`] owns.
    pub fn create_database(&self, name: &str) -> Result<()> {
        self.ask_as("postgres", "postgres", &format!("create database \"{name}\" owner {ROLE}")).map(drop)
    }

    /// Drops a database, its connections too, if there is one of that name.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.ask_as("postgres", "postgres", &format!("drop database if exists \"{name}\" with (force)"))
            .map(drop)
    }

    /// Whether there is a database of that name.
    pub fn has_database(&self, name: &str) -> Result<bool> {
        let query = format!("select count(*) from pg_database where datname = '{name}'");
        Ok(self.ask_as("postgres", "postgres", &query)? == "1")
    }

    /// Runs SQL as [`ROLE`] and returns what psql prints: columns parted by `|`, a row a line.
    pub fn ask(&self, database: &str, sql: &str) -> Result<String> {
        self.ask_as(ROLE, database, sql)
    }

    /// Runs a file of SQL as [`ROLE`], in one transaction unless its first line forbids it as sqlx's migrations do.
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

    /// Stops the server at once but in order, and waits until it is gone.
    pub fn stop(&mut self) -> Result<()> {
        launch::stop(&mut self.server, launch::Signal::INT, STOP_PATIENCE)?;
        Ok(())
    }

    fn client_as(&self, program: &str, role: &str) -> Command {
        let mut command = Command::new(self.programs.path(program));
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", role);
        command
    }

    fn psql(&self, role: &str, database: &str) -> Command {
        let mut psql = self.client_as("psql", role);
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"]);
        psql.args(["--dbname", database]);
        psql
    }

    fn ask_as(&self, role: &str, database: &str, sql: &str) -> Result<String> {
        let answer = workspace::output(self.psql(role, database).args(["--command", sql]))?;
        Ok(answer.trim_end().to_owned())
    }

    fn ensure_role(&self) -> Result<()> {
        let query = format!("select count(*) from pg_roles where rolname = '{ROLE}'");
        if self.ask_as("postgres", "postgres", &query)? == "0" {
            let role = format!("create role {ROLE} login createrole createdb bypassrls nosuperuser");
            self.ask_as("postgres", "postgres", &role)?;
        }
        Ok(())
    }

    fn wait_until_it_accepts(&mut self) -> Result<()> {
        let until = Instant::now() + START_PATIENCE;
        while self.ask_as("postgres", "postgres", "select 1").is_err() {
            if self.server.try_wait()?.is_some() || Instant::now() > until {
                bail!("Postgres does not start; the end of {}:\n{}", self.log.display(), tail(&self.log));
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }

    /// Stops the server and deletes all that it held.
    pub fn destroy(mut self) -> Result<()> {
        self.stop()?;
        let _ = fs::remove_file(&self.log);
        fs::remove_dir_all(&self.data).with_context(|| format!("cannot delete {}", self.data.display()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// The data folder: the one asked for, or, if the server's user cannot get there, one under the system's temp folder.
fn home(folder: &Path, user: Option<ServerUser>) -> Result<PathBuf> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let Some(user) = user else { return Ok(folder.to_owned()) };
    if user.can_enter(parent) {
        return Ok(folder.to_owned());
    }
    let name: String =
        folder.to_string_lossy().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let elsewhere = std::env::temp_dir().join(format!("enablebot{name}"));
    println!("Postgres' own user cannot enter {}: its data is in {}.", parent.display(), elsewhere.display());
    Ok(elsewhere)
}

fn create(programs: &Programs, user: Option<ServerUser>, data: &Path) -> Result<()> {
    // What an initdb that was killed half-way left behind would make this one refuse.
    if data.exists() {
        fs::remove_dir_all(data)?;
    }
    fs::create_dir_all(data)?;
    if let Some(user) = user {
        chown(data, Some(user.uid), Some(user.gid))?;
    }
    let locales = workspace::output(Command::new("locale").arg("-a")).unwrap_or_default().to_lowercase();
    let locale =
        if locales.lines().any(|name| name == "c.utf8" || name == "c.utf-8") { "C.UTF-8" } else { "C" };
    let mut initdb = Command::new(programs.path("initdb"));
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"]);
    initdb.arg(format!("--locale={locale}")).arg("--pgdata").arg(data);
    workspace::output(as_user(&mut initdb, user)).map(drop)
}

/// All output goes to the log beside the data; `trust` is safe since only loopback is listened on.
fn serve(
    programs: &Programs,
    user: Option<ServerUser>,
    data: &Path,
    log: &Path,
    port: u16,
    options: Options,
) -> Result<Child> {
    let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut server = launch::tied(&programs.path("postgres"), "INT");
    server.arg("-D").arg(data).args(["-p", &port.to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300"] {
        server.args(["-c", setting]);
    }
    if !options.fsync {
        server.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
    }
    server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    as_user(&mut server, user);
    launch::spawn(server).context("cannot start postgres")
}

fn as_user(command: &mut Command, user: Option<ServerUser>) -> &mut Command {
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command.current_dir("/")
}

/// The server of a killed run may still be shutting down. One that goes on is somebody else's; a file without its
/// server is stale, and is deleted because the process id in it may by now be another program's.
fn wait_for_the_last_one(data: &Path) -> Result<()> {
    let file = data.join("postmaster.pid");
    let until = Instant::now() + STOP_PATIENCE;
    while let Some(pid) = fs::read_to_string(&file).ok().and_then(|text| text.lines().next()?.parse().ok()) {
        if !serves(pid, data) {
            fs::remove_file(&file)?;
        } else if Instant::now() > until {
            bail!(
                "Postgres already runs on {} as process {pid}: stop it with `kill -INT {pid}`.",
                data.display()
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// By its whole command line, which neither another Postgres nor a zombie has.
fn serves(pid: u32, data: &Path) -> bool {
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .or_else(|_| workspace::output(Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()])));
    command.is_ok_and(|command| command.contains("postgres") && command.contains(&*data.to_string_lossy()))
}

/// A port of loopback that is free now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
