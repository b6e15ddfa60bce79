//! Whether a key is good, found out before it is kept.

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};

/// How long the server may take.
const KEY_CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a key is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// The server does not know it.
    #[error("the model's server refused the key ({0})")]
    Rejected(u16),
    /// Nobody knows.
    #[error("the model's server could not be asked: {0}")]
    Unverified(String),
}

/// Asks the server for its models with this key, which costs nothing.
///
/// # Errors
/// The server refuses the key, or says nothing about it.
pub async fn check_api_key(base_url: &str, key: &SecretString) -> Result<(), ApiKeyError> {
    let not_asked = |error: reqwest::Error| ApiKeyError::Unverified(error.without_url().to_string());
    let http = reqwest::Client::builder().timeout(KEY_CHECK_TIMEOUT).build().map_err(not_asked)?;
    let url = format!("{}/models", base_url.trim_end_matches('/'));
    let answer = http.get(url).bearer_auth(key.expose_secret()).send().await.map_err(not_asked)?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Err(ApiKeyError::Rejected(status.as_u16()))
        }
        status => Err(ApiKeyError::Unverified(format!("it answered {status}"))),
    }
}
