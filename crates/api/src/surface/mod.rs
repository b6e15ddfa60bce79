//! The bot's other features in Slack: welcome messages, the Home tab, commands and buttons.

mod buttons;
mod command;
mod export_notice;
mod home;
mod onboarding;
mod status;

pub(crate) use buttons::{redrive_event, store_feedback};
pub(crate) use command::{respond, run_command};
pub(crate) use export_notice::announce_export;
pub(crate) use home::publish_home;
pub(crate) use onboarding::{greet_person, open_conversation, send_welcome, store_viewed_channel};
