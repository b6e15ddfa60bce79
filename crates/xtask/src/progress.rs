//! Progress for the person who waits: a spinner on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Runs silent work and shows its name and its duration.
pub fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let spinner = spinner(name);
    let result = work();
    spinner.finish_and_clear();
    let end = if result.is_ok() { "" } else { ": failed" };
    eprintln!("  {name}{end} ({:.1} s)", began.elapsed().as_secs_f64());
    result
}

/// Numbers the steps of a command: `2/4 starting Postgres`.
#[derive(Debug)]
pub struct StepCounter {
    done: usize,
    total: usize,
}

impl StepCounter {
    /// A counter for a command of `total` steps.
    pub fn new(total: usize) -> Self {
        Self { done: 0, total }
    }

    /// Runs a silent step.
    pub fn run<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        step(&self.number(name), work)
    }

    /// Runs a step that prints its own progress, such as a build.
    pub fn run_verbose<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let name = self.number(name);
        eprintln!("  {name} …");
        let began = Instant::now();
        let result = work()?;
        eprintln!("  {name} ({:.1} s)", began.elapsed().as_secs_f64());
        Ok(result)
    }

    fn number(&mut self, name: &str) -> String {
        self.done += 1;
        format!("{}/{} {name}", self.done, self.total)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered() {
        let mut steps = StepCounter::new(2);
        assert_eq!(steps.number("one"), "1/2 one");
        assert_eq!(steps.number("two"), "2/2 two");
    }
}
