//! A Slack workspace and an OpenAI-compatible model on loopback, with a page to chat in; for `cargo dev`, tests
//! and benchmarks. It is strict where Slack is strict, so that what works here works there.

mod consent;
mod delivery;
mod document;
mod door;
mod files;
mod interacting;
mod looking;
mod model;
mod others;
mod page;
mod settings;
mod shared;
mod sign_in;
mod simulator;
mod tenants;
mod web_api;
mod world;

pub use settings::Settings;
pub use simulator::Simulator;
pub use web_api::Fault;
pub use world::{
    Call, Delivery, File, Installation, Message, ModelAnswer, NewFile, OtherBot, Person, PostMessage, World,
};
