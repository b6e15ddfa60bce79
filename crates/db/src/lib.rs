//! All SQL of the workspace: one file per table, one function per query.
//!
//! Every function takes a [`Tx`] first, so each query runs in an explicit transaction; statements stay
//! prepared across transactions only where there is no transaction pooler (`executor.rs`). Statements that
//! run thousands of times per second take a [`PinnedConnection`] instead, where each statement is its own
//! transaction. The tenant id follows, where the query is about one. Encryption at rest happens here, so that
//! no caller can forget it.

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
pub mod forgetting;
pub mod idle_threads;
pub mod ignored_events;
pub mod installations;
pub mod instances;
mod keys;
mod listener;
mod login_roles;
pub mod managers;
mod message_text;
pub mod oauth_states;
pub mod operators;
pub mod overview;
pub mod people;
pub mod person_export;
mod pinned_connection;
mod primary_monitor;
pub mod profiles;
pub mod replay;
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
pub mod tenant_rules;
pub mod tenants;
pub mod threads;
pub mod tokens;
pub mod tombstones;
pub mod usage;
pub mod workspaces;

pub use connection::{ConnectionCounts, Db, DbSettings, Tx, with_timeout};
pub use error::DbError;
pub use listener::{EventListener, QueueNotification};
pub use login_roles::allow_service_role;
pub use pinned_connection::PinnedConnection;
pub use schema::{DatabaseHealth, migrate};
pub use standby::{Stale, StandbyState};

/// The counter of rows that were refused because their proof is missing or wrong, by `table`.
pub const UNPROVEN_ROWS: &str = "enablebot_unproven_rows_total";
