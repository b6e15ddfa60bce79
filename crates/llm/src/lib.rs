//! All that knows the model's server: any with OpenAI's streaming `/chat/completions`, and what its answers cost.

mod answer;
mod body;
mod breaker;
mod error;
mod key;
mod model;
mod prices;
mod tokens;

pub use answer::Answer;
pub use error::ModelError;
pub use key::{KeyError, check_key};
pub use model::{Choice, Model, Settings, TOKEN_KINDS};
pub use prices::Price;
pub use tokens::{about_prompt_tokens, most_prompt_tokens, taken};
