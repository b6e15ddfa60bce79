//! All that knows slack.com: signature, envelope, OAuth, client, text rules.

mod signature;

pub use signature::{MAX_AGE_SECONDS, SIGNATURE_HEADER, SignatureError, SigningSecret, TIMESTAMP_HEADER};
