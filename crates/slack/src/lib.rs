//! All that knows slack.com: signature, envelope, OAuth, client, text rules.

mod client;
mod envelope;
mod error;
mod manifest;
mod messages;
mod oauth;
mod signature;
mod status;
mod streams;
mod text;

pub use client::{Client, METHODS};
pub use envelope::{Delivery, NotJson, read_delivery};
pub use error::{Failure, SlackError};
pub use manifest::{BOT_EVENTS, BOT_SCOPES, manifest};
pub use messages::{MARKDOWN_LIMIT, MessageMetadata, NewMessage, PostedMessage};
pub use oauth::{App, Grant};
pub use signature::{MAX_AGE_SECONDS, SIGNATURE_HEADER, SignatureError, SigningSecret, TIMESTAMP_HEADER};
pub use status::Status;
pub use streams::{NewStream, Recipient};
pub use text::{Part, escape, next_part, readable};
