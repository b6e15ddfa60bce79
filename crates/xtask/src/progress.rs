//! What the person sees while something takes its time: a spinner on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Does a piece of silent work and shows that, and for how long, it goes on.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let spinner = spinner(what);
    let result = work();
    spinner.finish_and_clear();
    let end = if result.is_ok() { "" } else { ": failed" };
    eprintln!("  {what}{end} ({:.1} s)", began.elapsed().as_secs_f64());
    result
}

fn spinner(what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        eprintln!("  {what} …");
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} … {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
