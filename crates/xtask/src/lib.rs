//! The commands of a checkout. Also a library, so that end-to-end tests use the same cluster and processes.

#![expect(clippy::print_stdout, reason = "these commands talk to the person who typed them")]

pub mod bench;
pub mod binaries;
pub mod browser;
pub mod chaos;
pub mod child_process;
pub mod cluster;
pub mod compose;
pub mod crate_deps;
pub mod dev;
pub mod http;
pub mod images;
pub mod import_cycles;
pub mod interrupt;
pub mod kubernetes;
pub mod language_check;
pub mod log_line;
pub mod nginx;
pub mod npm;
pub mod postgres;
pub mod previous_release;
pub mod progress;
pub mod prometheus;
pub mod railway;
pub mod redis;
pub mod repo_layout;
pub mod schemathesis;
pub mod seed;
pub mod service;
pub mod settings;
pub mod sqlx_prepare;
pub mod stack;
pub mod statistics;
pub mod system_packages;
pub mod systemd;
pub mod test;
pub mod test_tools;
pub mod venv;
pub mod workspace;
