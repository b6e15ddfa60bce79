//! Checks an API key before it is saved.

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};

/// Limits the whole check.
const KEY_CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// A failed check of an API key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// The server rejected the key.
    #[error("the model's server refused the key ({0})")]
    Rejected(u16),
    /// The server did not say whether the key works.
    #[error("the key could not be checked with the model's server: {0}")]
    Unverified(String),
}

/// Checks a key by listing the server's models, which costs nothing.
///
/// # Errors
/// The server rejects the key, or does not say whether it works.
pub async fn check_api_key(base_url: &str, key: &SecretString) -> Result<(), ApiKeyError> {
    let unverified = |error: reqwest::Error| ApiKeyError::Unverified(error.without_url().to_string());
    let http = reqwest::Client::builder().timeout(KEY_CHECK_TIMEOUT).build().map_err(unverified)?;
    let url = format!("{}/models", base_url.trim_end_matches('/'));
    let response = http.get(url).bearer_auth(key.expose_secret()).send().await.map_err(unverified)?;
    match response.status() {
        status if status.is_success() => Ok(()),
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Err(ApiKeyError::Rejected(status.as_u16()))
        }
        status => Err(ApiKeyError::Unverified(format!("it answered {status}"))),
    }
}
