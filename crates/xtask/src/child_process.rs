//! Child processes that end together with this process.

use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

type SpawnRequest = (Command, mpsc::Sender<io::Result<Child>>);

/// A command whose process gets `signal` (`INT`, `TERM`) when this process dies, even by SIGKILL. If
/// `setpriv` does not support that, as outside Linux, a killed parent leaves its children running.
pub fn with_parent_death_signal(program: &Path, signal: &str) -> Command {
    if !has_pdeathsig() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--"]).arg(program);
    command
}

fn has_pdeathsig() -> bool {
    static HAS_PDEATHSIG: OnceLock<bool> = OnceLock::new();
    *HAS_PDEATHSIG.get_or_init(|| {
        let help = Command::new("setpriv").arg("--help").output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--pdeathsig"))
    })
}

/// Starts a child from a thread that never ends, because the kernel takes the end of the *thread* that forked
/// for the parent's death. The child leads its own process group: Ctrl-C reaches only this process, which
/// stops the others in order.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    use std::os::unix::process::CommandExt;
    static SPAWN_THREAD: OnceLock<mpsc::Sender<SpawnRequest>> = OnceLock::new();
    let launcher = SPAWN_THREAD.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<SpawnRequest>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    command.process_group(0);
    let (answer, child) = mpsc::channel();
    launcher.send((command, answer)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}

/// Sends a signal. A process that has already ended is no error.
pub fn send_signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Asks a child to end and waits; kills it after `timeout`.
pub fn stop(child: &mut Child, signal: Signal, timeout: Duration) -> io::Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    send_signal(child.id(), signal);
    let until = Instant::now() + timeout;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill()?;
    child.wait()
}
