//! A pgBouncer in transaction mode in front of a cluster, as hosted Postgres has it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Cluster, ROLE, SERVICE_ROLE, free_port, server};
use crate::postgres::ServerUser;
use crate::system_packages::{self, SystemPackage};
use crate::{child_process, workspace};

const POOLER_START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running pgBouncer. Dropping it ends it.
#[derive(Debug)]
pub struct Pooler {
    port: u16,
    program: PathBuf,
    process: Child,
    settings: PathBuf,
    users: PathBuf,
    log: PathBuf,
}

impl Pooler {
    /// Starts one on a free port, with few server connections, so that many clients share them.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let (program, port) = (system_packages::find_or_install(SystemPackage::PgBouncer)?, free_port()?);
        let beside_data = |ending: &str| cluster.data.with_extension(format!("pgbouncer-{port}.{ending}"));
        let (settings, users, log) = (beside_data("ini"), beside_data("users"), beside_data("log"));
        fs::write(&users, format!("\"{ROLE}\" \"\"\n\"{SERVICE_ROLE}\" \"\"\n"))?;
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = 8\nmax_client_conn = 1000\nserver_login_retry = 1\n",
            cluster.port,
            users.display(),
        );
        fs::write(&settings, text)?;
        let process = spawn_pooler(&program, &settings, &log)?;
        let mut pooler = Self { port, program, process, settings, users, log };
        pooler.wait_until_ready(cluster)?;
        Ok(pooler)
    }

    /// Kills it with all connections.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts it again on the same port, after [`Pooler::kill`]. Postgres may be down.
    pub fn relaunch(&mut self) -> Result<()> {
        self.process = spawn_pooler(&self.program, &self.settings, &self.log)?;
        Ok(())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address of a database behind it, for the role that owns it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/{database}", self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    fn wait_until_ready(&mut self, cluster: &Cluster) -> Result<()> {
        let until = Instant::now() + POOLER_START_TIMEOUT;
        let port = self.port.to_string();
        // pgBouncer refuses start-up options.
        let asked = ["--port", &port, "--command", "select 1"];
        while workspace::output(cluster.psql(ROLE, "postgres").env_remove("PGOPTIONS").args(asked)).is_err() {
            if self.process.try_wait()?.is_some() || Instant::now() > until {
                bail!("pgbouncer did not start; its log is beside {}", cluster.data.display());
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for file in [&self.settings, &self.users, &self.log] {
            let _ = fs::remove_file(file);
        }
    }
}

fn spawn_pooler(program: &Path, settings: &Path, log: &Path) -> Result<Child> {
    let written = File::options().create(true).append(true).open(log);
    let written = written.with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = child_process::with_parent_death_signal(program, "INT");
    command.arg(settings).stdin(Stdio::null()).stdout(written.try_clone()?).stderr(written);
    // Like Postgres, pgBouncer refuses to run as root.
    server::run_as_user(&mut command, ServerUser::find_required());
    child_process::spawn(command).context("cannot start pgbouncer")
}
