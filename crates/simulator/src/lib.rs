//! A Slack workspace and an OpenAI-compatible model on loopback, with a page to chat in; for `cargo dev`,
//! tests and benchmarks. It is strict where Slack is strict, so that what works here works there.

mod consent;
mod delivery;
mod external_users;
mod fake_slack;
mod files;
mod html;
mod inspect;
mod interaction_requests;
mod interactions;
mod model;
mod page;
mod request_urls;
mod settings;
mod sign_in;
mod simulator;
mod state;
mod tenants;
mod web_api;

pub use fake_slack::{
    AppInstallation, Call, DeliveryAttempt, FakeSlack, ModelCompletion, NewFile, OtherBot, PostMessage,
    SimulatedUser, SlackFile, SlackMessage,
};
pub use settings::SimulatorSettings;
pub use simulator::Simulator;
pub use web_api::InjectedFault;
