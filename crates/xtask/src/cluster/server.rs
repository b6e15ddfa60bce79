//! The server of a cluster: its data folder, its user, its command line.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::postgres::{PostgresPrograms, ServerUser};
use crate::{child_process, workspace};

/// The time that the server of a killed run may still take to end.
const PREVIOUS_SERVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the data folder: the given one, or one under the system's temp folder if the server's user cannot
/// enter it.
pub(super) fn data_folder(folder: &Path, user: Option<ServerUser>) -> Result<PathBuf> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let Some(user) = user else { return Ok(folder.to_owned()) };
    if user.can_enter(parent) {
        return Ok(folder.to_owned());
    }
    let name: String =
        folder.to_string_lossy().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let elsewhere = std::env::temp_dir().join(format!("enablebot{name}"));
    println!("Postgres' user cannot enter {}; the data is in {}", parent.display(), elsewhere.display());
    Ok(elsewhere)
}

pub(super) fn init_data_folder(
    programs: &PostgresPrograms,
    user: Option<ServerUser>,
    data: &Path,
) -> Result<()> {
    // initdb would refuse a folder left behind by an interrupted initdb.
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
    workspace::output(run_as_user(&mut initdb, user)).map(drop)
}

/// Spawns the server with all output in the log beside the data. `trust` is safe since it listens only on
/// loopback.
pub(super) fn spawn_server(
    programs: &PostgresPrograms,
    user: Option<ServerUser>,
    data: &Path,
    log: &Path,
    port: u16,
    fsync: bool,
) -> Result<Child> {
    let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut server = child_process::with_parent_death_signal(&programs.path("postgres"), "INT");
    server.arg("-D").arg(data).args(["-p", &port.to_string()]);
    let settings = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=300",
        // With Postgres' default, a busy queue causes a checkpoint every few seconds, which delays commits.
        "max_wal_size=4GB",
    ];
    for setting in settings {
        server.args(["-c", setting]);
    }
    if !fsync {
        server.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
    }
    server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    run_as_user(&mut server, user);
    child_process::spawn(server).context("cannot start postgres")
}

pub(super) fn run_as_user(command: &mut Command, user: Option<ServerUser>) -> &mut Command {
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command.current_dir("/")
}

/// Waits for the server of a killed run, which may still be shutting down. Fails if it keeps running. Deletes
/// a stale pid file, because its process id may now belong to another program.
pub(super) fn wait_for_previous_server(data: &Path) -> Result<()> {
    let file = data.join("postmaster.pid");
    let until = Instant::now() + PREVIOUS_SERVER_TIMEOUT;
    while let Some(pid) = fs::read_to_string(&file).ok().and_then(|text| text.lines().next()?.parse().ok()) {
        if !is_server_of(pid, data) {
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

/// Checks the whole command line, which neither another Postgres nor a zombie has.
fn is_server_of(pid: u32, data: &Path) -> bool {
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .or_else(|_| workspace::output(Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()])));
    command.is_ok_and(|command| command.contains("postgres") && command.contains(&*data.to_string_lossy()))
}

pub(super) fn log_tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
