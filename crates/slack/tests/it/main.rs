//! What holds for any text and any bytes, and what the client does when Slack does not answer as it should.

mod bytes;
mod client;
mod files;
mod inert;
mod server;
mod split;
mod text;
