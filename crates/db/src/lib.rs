//! The only SQL: a file a table, a function a question.
//!
//! Every function takes a [`Tx`] first: each query runs in an explicit transaction, and is prepared for longer than that only
//! where no transaction pooler stands between (`executor.rs`). What is done thousands of times a second takes a [`Session`]
//! instead: a statement that is a transaction by itself. The tenant comes next, wherever one is meant. What is
//! encrypted at rest is encrypted and decrypted here, so that no caller can forget it.

mod addresses;
pub mod api_keys;
pub mod audit_archive;
mod audit_chain;
pub mod audit_log;
pub mod changes;
pub mod channels;
pub mod chat_leases;
mod connection;
pub mod conversations;
pub mod delays;
pub mod deliveries;
pub mod diagnosis;
mod error;
pub mod event_history;
pub mod events;
mod executor;
pub mod exports;
pub mod feedback;
pub mod ignored_events;
pub mod installations;
mod keys;
mod listener;
mod literal;
pub mod oauth_states;
pub mod operators;
pub mod overview;
pub mod people;
pub mod profiles;
pub mod replicas;
pub mod replies;
pub mod reservations;
pub mod retention;
pub mod rotation;
mod schema;
mod session;
pub mod sessions;
pub mod set_aside;
pub mod settings;
mod standby;
pub mod stored;
pub mod stories;
pub mod team_access;
pub mod tenants;
pub mod threads;
pub mod tokens;
pub mod turns;
pub mod usage;
pub mod workspaces;

pub use connection::{ConnectionCounts, Db, Settings, Tx, in_time};
pub use error::DbError;
pub use listener::{Listener, Notice};
pub use schema::{DatabaseHealth, migrate};
pub use session::Session;
pub use standby::{Seen, StandbyState};
