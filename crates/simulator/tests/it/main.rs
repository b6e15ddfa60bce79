//! The simulator against a small app that is played by the tests.

mod app;
mod blocks;
mod commands;
mod conversations;
mod deliveries;
mod enterprise;
mod faults;
mod files;
mod forms;
mod home;
mod install;
mod interactions;
mod messages;
mod model;
mod others;
mod page;
mod people;
mod sign_in;
mod streams;
mod surface;
mod tokens;
