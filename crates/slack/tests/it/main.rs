//! Tests of parsers and sanitizers with arbitrary input, and of the client against a mock of Slack.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bytes;
mod chunk;
mod client;
mod envelope;
mod files;
mod sanitize;
mod server;
mod text;
