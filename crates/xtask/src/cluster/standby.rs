//! A standby of a cluster. It follows by streaming replication and serves reads.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Cluster, free_port, server};
use crate::postgres::ServerUser;
use crate::workspace;

/// The time limit for pausing the replay.
const REPLAY_PAUSE_TIMEOUT: Duration = Duration::from_secs(20);

/// Cancels conflicting statements at once; Postgres' default waits for half a minute.
const STANDBY_SETTINGS: &str = "max_standby_streaming_delay = 0\n";

impl Cluster {
    /// Starts a standby of this cluster in another folder, which is deleted when the standby is dropped.
    pub fn start_standby(&self, folder: &Path) -> Result<Self> {
        let user = ServerUser::find_required();
        let data = server::data_folder(folder, user)?;
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        // Postgres refuses a folder that other users can read.
        DirBuilder::new().mode(0o700).create(&data)?;
        if let Some(user) = user {
            chown(&data, Some(user.uid), Some(user.gid))?;
        }
        let mut copy = Command::new(self.programs.path("pg_basebackup"));
        copy.args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--username", "postgres"]);
        copy.args(["--wal-method=stream", "--checkpoint=fast", "--no-sync", "--write-recovery-conf"]);
        workspace::output(server::run_as_user(copy.arg("--pgdata").arg(&data), user))?;
        let mut file = OpenOptions::new().append(true).open(data.join("postgresql.auto.conf"))?;
        file.write_all(STANDBY_SETTINGS.as_bytes())?;
        let (log, port) = (data.with_extension("log"), free_port()?);
        let programs = self.programs.clone();
        let server = server::spawn_server(&programs, user, &data, &log, port, self.fsync)?;
        let mut standby = Self { programs, data, log, fsync: self.fsync, is_ephemeral: true, port, server };
        standby.wait_until_ready()?;
        Ok(standby)
    }

    /// Pauses the replay of a standby that keeps receiving. Returns once it is paused.
    pub fn pause_replay(&self) -> Result<()> {
        self.query_as("postgres", "postgres", "select pg_wal_replay_pause()")?;
        let until = Instant::now() + REPLAY_PAUSE_TIMEOUT;
        while self.query_as("postgres", "postgres", "select pg_get_wal_replay_pause_state()")? != "paused" {
            if Instant::now() > until {
                bail!("the standby still replays after {REPLAY_PAUSE_TIMEOUT:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Resumes the replay.
    pub fn resume_replay(&self) -> Result<()> {
        self.query_as("postgres", "postgres", "select pg_wal_replay_resume()").map(drop)
    }
}
