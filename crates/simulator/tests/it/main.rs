//! The simulator against a small app that is played by the tests.

mod app;
mod blocks;
mod conversations;
mod deliveries;
mod enterprise;
mod faults;
mod files;
mod install;
mod messages;
mod model;
mod others;
mod page;
mod people;
mod sign_in;
mod streams;
mod tokens;
