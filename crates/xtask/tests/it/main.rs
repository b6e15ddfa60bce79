//! EnableBot through its front door: both real binaries, a real Postgres, real HTTP, and the simulated Slack.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod browser;
mod chromium;
mod crash;
mod ground;
mod install;
mod operate;
mod receive;
mod reply;
mod test_app;
