//! All that knows the model's server: any with OpenAI's streaming `/chat/completions`, and what its answers cost.

mod answer;
mod breaker;
mod error;
mod key;
mod model;
mod prices;

pub use answer::Answer;
pub use error::ModelError;
pub use key::{KeyError, check_key};
pub use model::{Choice, Model, Settings, TOKEN_KINDS};
pub use prices::cost_micros;
