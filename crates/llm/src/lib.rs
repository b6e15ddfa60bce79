//! A client for any model server with OpenAI's streaming `/chat/completions`, and the prices of models.

mod api_key_check;
mod breaker;
mod client;
mod drain_body;
mod error;
mod prices;
mod request_span;
mod stream;
mod token_estimate;

pub use api_key_check::{ApiKeyError, check_api_key};
pub use client::{ModelClient, ModelSelection, ModelSettings, TOKEN_KINDS};
pub use error::ModelError;
pub use prices::Price;
pub use stream::CompletionStream;
pub use token_estimate::{billed_usage, estimate_prompt_tokens, max_prompt_tokens};
