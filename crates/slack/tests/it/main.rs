//! What holds for any text and any bytes, and what the client does when Slack does not answer as it should.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bytes;
mod chunk;
mod client;
mod files;
mod sanitize;
mod server;
mod text;
