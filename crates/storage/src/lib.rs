//! A client for Supabase Storage that uploads objects into a bucket.
//! Source: <https://supabase.com/docs/guides/storage/uploads/standard-uploads>

use std::fmt;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// The Supabase project and bucket that objects are uploaded to.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// `SUPABASE_URL`: the project, without a trailing slash.
    pub url: String,
    /// `SUPABASE_SERVICE_KEY`: it can write to every bucket of the project.
    pub service_key: SecretString,
    /// A private bucket, whose name needs no escaping in a URL.
    pub bucket: String,
}

/// A client for one bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StorageBucket {
    http: reqwest::Client,
    settings: StorageSettings,
}

impl StorageBucket {
    /// Creates a client; `timeout` limits a whole upload.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: StorageSettings, timeout: Duration) -> Result<Self, reqwest::Error> {
        // A redirect must not carry the key to another server.
        let http = reqwest::Client::builder().timeout(timeout).redirect(Policy::none()).build()?;
        Ok(Self { http, settings })
    }

    /// Uploads an object and replaces any object at the same path. `path` must need no escaping in a URL.
    ///
    /// # Errors
    /// The object may not have been stored; the same upload can be repeated.
    pub async fn put(
        &self,
        path: &str,
        content_type: &'static str,
        body: String,
    ) -> Result<(), StorageError> {
        let StorageSettings { url, service_key, bucket } = &self.settings;
        let request = self.http.post(format!("{url}/storage/v1/object/{bucket}/{path}"));
        let request = request.bearer_auth(service_key.expose_secret());
        let request = request.header("apikey", service_key.expose_secret()).header("x-upsert", "true");
        let result = request.header(CONTENT_TYPE, content_type).body(body).send().await;
        let response = result.map_err(|error| StorageError::Transport(error.without_url().to_string()))?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(read_rejection(response).await),
        }
    }
}

/// A failed upload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// No response arrived.
    #[error("Supabase Storage did not answer ({0}); retrying later")]
    Transport(String),
    /// Storage rejected the upload.
    #[error("Supabase Storage answered {status} ({message}); {remedy}")]
    Rejected {
        /// The status that Storage reports, which may differ from the HTTP status.
        status: u16,
        /// Storage's own error message.
        message: String,
        /// The suggested fix.
        remedy: Remedy,
    },
}

impl StorageError {
    /// Returns true if every other object of the bucket would fail too.
    pub fn is_bucket_wide(&self) -> bool {
        !matches!(self, Self::Rejected { remedy: Remedy::CheckLog, .. })
    }
}

/// The suggested fix for a rejected upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The service key is wrong.
    CheckKey,
    /// The bucket does not exist.
    CreateBucket,
    /// The failure is temporary.
    Retry,
    /// The cause is unknown.
    CheckLog,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CheckKey => {
                "check that SUPABASE_SERVICE_KEY is the service key of the project at SUPABASE_URL"
            }
            Self::CreateBucket => "create a private bucket of the configured name in this project's Storage",
            Self::Retry => "retrying later",
            Self::CheckLog => "check the project's Storage log",
        })
    }
}

/// Characters of Storage's message that are kept.
const MAX_ERROR_MESSAGE_CHARS: usize = 200;

async fn read_rejection(mut response: Response) -> StorageError {
    let http_status = response.status();
    let body = response.chunk().await.ok().flatten().unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    // Storage answers many errors with 400 and puts the actual status into the body.
    let body_status = match &body["statusCode"] {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    let status = body_status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(http_status);
    let message =
        body["message"].as_str().unwrap_or("no details").chars().take(MAX_ERROR_MESSAGE_CHARS).collect();
    let remedy = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Remedy::CheckKey,
        StatusCode::NOT_FOUND => Remedy::CreateBucket,
        StatusCode::TOO_MANY_REQUESTS => Remedy::Retry,
        status if status.is_server_error() => Remedy::Retry,
        _ => Remedy::CheckLog,
    };
    StorageError::Rejected { status: status.as_u16(), message, remedy }
}
