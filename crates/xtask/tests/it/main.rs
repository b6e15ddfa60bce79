//! EnableBot through its front door: both real binaries, a real Postgres, real HTTP, and the simulated Slack.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod api_chat;
mod api_keys;
mod audit_chain;
mod browser;
mod buttons;
mod chaos;
mod chromium;
mod crash;
mod dashboard;
mod database;
mod drain;
mod files;
mod ground;
mod injection;
mod install;
mod life_cycle;
mod limits;
mod looking;
mod openapi;
mod operate;
mod operators;
mod organisations;
mod people;
mod postgres_away;
mod queue;
mod receive;
mod reply;
mod security;
mod set_aside;
mod settings;
mod sign_in;
mod slack_faults;
mod stop;
mod strangers;
mod surface;
mod test_app;
mod threats;
mod upstreams;
mod why;
