//! Progress of a long command.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

/// A progress line is printed at most this often; a command that waits for another one polls as often.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// A progress line: rewritten in place on a terminal, printed anew elsewhere.
pub(super) struct ProgressLine<'a> {
    line: &'a str,
    last_printed: Instant,
}

impl<'a> ProgressLine<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { line, last_printed: Instant::now() }
    }

    pub(super) fn update(&mut self, done: u64, all: u64) {
        if self.last_printed.elapsed() < PROGRESS_INTERVAL {
            return;
        }
        self.last_printed = Instant::now();
        match stdout().is_terminal() {
            true => print!("\r{}: {done} of {all}", self.line),
            false => println!("{}: {done} of {all}", self.line),
        }
        let _ = stdout().flush();
    }

    pub(super) fn clear(&self) {
        if stdout().is_terminal() {
            print!("\r\x1b[K");
        }
    }
}
