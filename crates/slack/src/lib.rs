//! Slack's protocols and API: request signatures, events, OAuth, the Web API client, and text formatting.

mod agent_api;
mod bot;
mod bounded_cache;
mod buttons;
mod chunk;
mod client;
mod delivery;
mod diagnostics;
mod envelope;
mod ephemeral;
mod error;
mod files;
mod inner_event;
mod interaction;
mod lease_guard;
mod link;
mod manifest;
mod markdown_blocks;
mod message_event;
mod messages;
mod method_backoff;
mod oauth;
mod retry;
mod sanitize;
mod sign_in;
mod signature;
mod status;
mod streams;
mod text;
mod users;

pub use bot::BotAuth;
pub use buttons::{ACTION_FEEDBACK, ACTION_STOP, ACTION_TRY_AGAIN, Buttons};
pub use chunk::{MessageChunk, next_chunk};
pub use client::{API_METHODS, CALL_RESULTS, Client};
pub use delivery::{ParsedDelivery, StopRequest};
pub use envelope::{EnvelopeError, parse_delivery};
pub use error::{SlackError, SlackErrorKind};
pub use interaction::{SlackFormError, parse_command, parse_interaction};
pub use lease_guard::SendGuard;
pub use manifest::{
    BOT_EVENTS, BOT_SCOPES, REQUIRED_SCOPES, RequiredScope, SUGGESTED_PROMPTS, manifest, missing_scopes,
};
pub use messages::{MAX_MARKDOWN_CHARS, MessageMetadata, MessageUpdate, NewMessage, PostedMessage};
pub use oauth::{OAuthApp, OAuthGrant, TokenRotation};
pub use sanitize::MarkdownSanitizer;
pub use sign_in::{PendingSignIn, SignInError, SlackIdentity};
pub use signature::{MAX_AGE_SECONDS, SIGNATURE_HEADER, SignatureError, SigningSecret, TIMESTAMP_HEADER};
pub use status::ThreadStatus;
pub use streams::{NewStream, Recipient};
pub use text::{escape, unescape_message};
pub use users::SlackUser;
