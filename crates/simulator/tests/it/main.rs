//! The simulator against a small app that is played by the tests.

mod app;
mod commands;
mod conversations;
mod deliveries;
mod faults;
mod forms;
mod home;
mod install;
mod interactions;
mod messages;
mod model;
mod page;
mod sign_in;
mod streams;
mod surface;
