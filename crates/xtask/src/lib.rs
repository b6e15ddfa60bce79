//! The commands of a checkout. A library too, so that end-to-end tests use the same cluster and processes.

#![expect(clippy::print_stdout, reason = "these commands talk to the person who typed them")]

pub mod arrows;
pub mod bench;
pub mod binaries;
pub mod browser;
pub mod chaos;
pub mod cluster;
pub mod compose;
pub mod demo;
pub mod dev;
pub mod http;
pub mod images;
pub mod interrupt;
pub mod kubernetes;
pub mod launch;
pub mod layout;
pub mod log_line;
pub mod nginx;
pub mod npm;
pub mod packages;
pub mod postgres;
pub mod prepare;
pub mod previous;
pub mod progress;
pub mod prometheus;
pub mod railway;
pub mod redis;
pub mod schemathesis;
pub mod service;
pub mod settings;
pub mod stack;
pub mod systemd;
pub mod test;
pub mod tools;
pub mod venv;
pub mod workspace;
