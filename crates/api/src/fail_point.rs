//! Named steps at which a test kills or stops the process. Without the feature `fail-points` they compile to
//! nothing.

/// The named steps, in the order in which a reply takes them.
#[cfg(feature = "fail-points")]
const FAIL_POINT_NAMES: &str = include_str!("fail_points.txt");

/// Arms the steps of `FAILPOINTS`: `message_posted=3*off->1*return(kill)` kills at the fourth time.
#[cfg(feature = "fail-points")]
pub(crate) fn arm() {
    // The scenario lasts as long as the process.
    std::mem::forget(fail::FailScenario::setup());
}

/// Ends the process as by `kill -9`, or stops it until it is continued, if the step is armed.
#[cfg(feature = "fail-points")]
pub(crate) fn reach(name: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    debug_assert!(FAIL_POINT_NAMES.lines().any(|known| known == name), "{name} is not in the list");
    let action = fail::eval(name, |action| action.unwrap_or_default());
    let signal = match action.as_deref() {
        Some("kill") => Signal::KILL,
        Some("stop") => Signal::STOP,
        _ => return,
    };
    let _ = kill_process(getpid(), signal);
    // Another thread may receive the signal first; this one must not continue until it has arrived.
    std::thread::sleep(std::time::Duration::from_millis(100));
}

#[cfg(not(feature = "fail-points"))]
pub(crate) fn arm() {}

#[cfg(not(feature = "fail-points"))]
pub(crate) fn reach(_: &str) {}
