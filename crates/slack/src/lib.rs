//! All that knows slack.com: signature, envelope, OAuth, client, text rules.

mod bot;
mod buttons;
mod client;
mod envelope;
mod error;
mod files;
mod held;
mod inert;
mod manifest;
mod messages;
mod oauth;
mod private;
mod repeat;
mod signature;
mod split;
mod status;
mod streams;
mod surface;
mod text;
mod users;

pub use bot::Bot;
pub use buttons::{ACTION_FEEDBACK, ACTION_STOP, ACTION_TRY_AGAIN, Buttons};
pub use client::{Client, METHODS};
pub use envelope::{Delivery, NotJson, read_delivery};
pub use error::{Failure, SlackError};
pub use inert::Inert;
pub use manifest::{BOT_EVENTS, BOT_SCOPES, SCOPES, SUGGESTED_PROMPTS, Scope, manifest, missing_scopes};
pub use messages::{MARKDOWN_LIMIT, MessageMetadata, NewMessage, PostedMessage, Update};
pub use oauth::{App, Grant, Rotation};
pub use signature::{MAX_AGE_SECONDS, SIGNATURE_HEADER, SignatureError, SigningSecret, TIMESTAMP_HEADER};
pub use split::{Part, next_part};
pub use status::Status;
pub use streams::{NewStream, Recipient};
pub use text::{escape, readable};
pub use users::SlackUser;
