//! The only SQL: a file a table, a function a question.
//!
//! Every function takes a [`Tx`] first: each query runs in an explicit transaction, and is prepared for longer than that only
//! where no transaction pooler stands between (`executor.rs`). What is done thousands of times a second takes a [`Session`]
//! instead: a statement that is a transaction by itself. The tenant comes next, wherever one is meant. What is
//! encrypted at rest is encrypted and decrypted here, so that no caller can forget it.

pub mod api_keys;
pub mod audit_archive;
mod audit_chain;
pub mod audit_log;
pub mod change_feed;
pub mod channels;
pub mod chat_leases;
pub mod chat_memory;
mod connection;
pub mod conversations;
pub mod dead_letters;
pub mod deferrals;
pub mod diagnostics;
mod error;
pub mod event_history;
pub mod event_inbox;
pub mod event_timeline;
pub mod events;
mod executor;
pub mod exports;
pub mod feedback;
pub mod idle_threads;
pub mod ignored_events;
pub mod installations;
pub mod instances;
mod keys;
mod listener;
pub mod oauth_states;
pub mod operators;
pub mod overview;
pub mod people;
mod pinned_connection;
mod primary_monitor;
pub mod profiles;
pub mod replies;
pub mod reservations;
pub mod rotation;
mod schema;
pub mod sessions;
pub mod settings;
mod sql_literal;
mod standby;
pub mod team_access;
pub mod tenant_data;
pub mod tenants;
pub mod threads;
pub mod tokens;
pub mod usage;
pub mod workspaces;

pub use connection::{ConnectionCounts, Db, DbSettings, Tx, with_timeout};
pub use error::DbError;
pub use listener::{EventListener, QueueNotification};
pub use pinned_connection::PinnedConnection;
pub use schema::{DatabaseHealth, migrate};
pub use standby::{Stale, StandbyState};
