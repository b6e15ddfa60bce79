//! A private Redis that writes nothing to disk.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::child_process;
use crate::cluster::{SignedCertificate, free_port};
use crate::system_packages::{self, SystemPackage};

const REDIS_START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running Redis. Dropping it ends it.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    program: PathBuf,
    process: Child,
    signed: Option<SignedCertificate>,
}

impl Redis {
    /// Starts one on a free port and waits until it accepts connections.
    pub fn start() -> Result<Self> {
        let (program, port) = (system_packages::find_or_install(SystemPackage::Redis)?, free_port()?);
        let process = spawn_redis(&program, port, None)?;
        let mut redis = Self { port, program, process, signed: None };
        redis.wait_until_ready()?;
        Ok(redis)
    }

    /// Starts one on a free port that speaks TLS only, with this certificate.
    pub fn start_with_tls(signed: SignedCertificate) -> Result<Self> {
        let (program, port) = (system_packages::find_or_install(SystemPackage::Redis)?, free_port()?);
        let process = spawn_redis(&program, port, Some(&signed))?;
        let mut redis = Self { port, program, process, signed: Some(signed) };
        redis.wait_until_ready()?;
        Ok(redis)
    }

    /// Kills it, with all its data.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts it again on the same port, after [`Redis::kill`].
    pub fn relaunch(&mut self) -> Result<()> {
        self.process = spawn_redis(&self.program, self.port, self.signed.as_ref())?;
        self.wait_until_ready()
    }

    /// Its address.
    pub fn url(&self) -> String {
        let scheme = if self.signed.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let until = Instant::now() + REDIS_START_TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if self.process.try_wait()?.is_some() || Instant::now() > until {
                bail!("redis-server did not start on port {}", self.port);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn_redis(program: &Path, port: u16, signed: Option<&SignedCertificate>) -> Result<Child> {
    let mut command = child_process::with_parent_death_signal(program, "TERM");
    let port = port.to_string();
    match signed {
        None => command.args(["--port", &port]),
        Some(signed) => command
            .args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no", "--tls-cert-file"])
            .arg(&signed.certificate)
            .arg("--tls-key-file")
            .arg(&signed.key)
            .arg("--tls-ca-cert-file")
            .arg(&signed.root),
    };
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    child_process::spawn(command).context("cannot start redis-server")
}
