//! EnableBot through its front door: both real binaries, a real Postgres, real HTTP, and the simulated Slack.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod accessibility;
mod api_chat;
mod api_keys;
mod audit_chain;
mod browser;
mod buttons;
mod chaos;
mod chromium;
mod crash;
mod dashboard;
mod data;
mod database;
mod drain;
mod files;
mod ground;
mod install;
mod keys;
mod life_cycle;
mod limits;
mod looking;
mod money;
mod operate;
mod operators;
mod organisations;
mod pages;
mod people;
mod postgres_away;
mod queue;
mod receive;
mod reply;
mod sealed;
mod set_aside;
mod settings;
mod sign_in;
mod slack_faults;
mod stop;
mod strangers;
mod surface;
mod test_app;
mod upstreams;
mod why;
