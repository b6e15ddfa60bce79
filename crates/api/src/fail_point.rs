//! Steps at which a test lets the process die or stand still; nothing of it is in a build without `fail-points`.

/// The named steps, in the order in which a reply takes them.
#[cfg(feature = "fail-points")]
const FAIL_POINT_NAMES: &str = include_str!("fail_points.txt");

/// Arms what `FAILPOINTS` says: `message_posted=3*off->1*return(kill)` kills at the fourth time.
#[cfg(feature = "fail-points")]
pub(crate) fn arm() {
    // It lasts as long as the process.
    std::mem::forget(fail::FailScenario::setup());
}

/// The process may end here as by `kill -9`, or stop until somebody continues it.
#[cfg(feature = "fail-points")]
pub(crate) fn reach(name: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    debug_assert!(FAIL_POINT_NAMES.lines().any(|known| known == name), "{name} is in no list");
    let action = fail::eval(name, |action| action.unwrap_or_default());
    let signal = match action.as_deref() {
        Some("kill") => Signal::KILL,
        Some("stop") => Signal::STOP,
        _ => return,
    };
    let _ = kill_process(getpid(), signal);
    // The signal may come to another thread first: this one must not go a step further until it has arrived.
    std::thread::sleep(std::time::Duration::from_millis(100));
}

#[cfg(not(feature = "fail-points"))]
pub(crate) fn arm() {}

#[cfg(not(feature = "fail-points"))]
pub(crate) fn reach(_: &str) {}
