//! The simulator against a small app that is played by the tests.

mod agent_events;
mod blocks;
mod commands;
mod conversations;
mod deliveries;
mod enterprise;
mod external_users;
mod fake_app;
mod faults;
mod files;
mod form_app;
mod home;
mod install;
mod interactions;
mod messages;
mod model;
mod page;
mod people;
mod sign_in;
mod streams;
mod tokens;
