//! Tests of the simulator against a small fake app.

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
