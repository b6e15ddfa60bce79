//! All that knows Supabase Storage: puts an object into a bucket.
//! Source: <https://supabase.com/docs/guides/storage/uploads/standard-uploads>

use std::fmt;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Where objects go.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// `SUPABASE_URL`: the project, without a slash at its end.
    pub url: String,
    /// `SUPABASE_SERVICE_KEY`: may write into every bucket of the project.
    pub service_key: SecretString,
    /// A private bucket, of letters that need no escape in an address.
    pub bucket: String,
}

/// A bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StorageBucket {
    http: reqwest::Client,
    settings: StorageSettings,
}

impl StorageBucket {
    /// `timeout` is for an upload as a whole.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: StorageSettings, timeout: Duration) -> Result<Self, reqwest::Error> {
        // The key has no business elsewhere.
        let http = reqwest::Client::builder().timeout(timeout).redirect(Policy::none()).build()?;
        Ok(Self { http, settings })
    }

    /// Puts an object there, over one of the same path. `path` is of letters that need no escape in an address.
    ///
    /// # Errors
    /// It is not known to be there: the same can be put again.
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
        let sent = request.header(CONTENT_TYPE, content_type).body(body).send().await;
        let answer = sent.map_err(|error| StorageError::Transport(error.without_url().to_string()))?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(read_rejection(answer).await),
        }
    }
}

/// Why an object is not known to be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// No answer came.
    #[error("Supabase Storage did not answer ({0}); it is tried again")]
    Transport(String),
    /// The answer is no.
    #[error("Supabase Storage answered {status} ({message}); {remedy}")]
    Rejected {
        /// What Storage calls it, which may be another than that of HTTP.
        status: u16,
        /// What it says.
        message: String,
        /// What to do.
        remedy: Remedy,
    },
}

impl StorageError {
    /// Whether another object would fare no better.
    pub fn is_bucket_wide(&self) -> bool {
        !matches!(self, Self::Rejected { remedy: Remedy::CheckLog, .. })
    }
}

/// What helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The key is wrong.
    CheckKey,
    /// The bucket is missing.
    CreateBucket,
    /// It passes by itself.
    Retry,
    /// Nobody knows.
    CheckLog,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CheckKey => {
                "look whether SUPABASE_SERVICE_KEY is the service key of the project at SUPABASE_URL"
            }
            Self::CreateBucket => "make a private bucket of the name that is set in this project's Storage",
            Self::Retry => "it is tried again",
            Self::CheckLog => "look into the project's Storage log",
        })
    }
}

/// How much of what Storage says is told.
const MAX_ERROR_MESSAGE_CHARS: usize = 200;

/// Storage answers much with 400, and says in the body what it means.
async fn read_rejection(mut answer: Response) -> StorageError {
    let of_http = answer.status();
    let body = answer.chunk().await.ok().flatten().unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let told = match &body["statusCode"] {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    let status = told.and_then(|told| StatusCode::from_u16(told).ok()).unwrap_or(of_http);
    let message =
        body["message"].as_str().unwrap_or("no more is said").chars().take(MAX_ERROR_MESSAGE_CHARS).collect();
    let remedy = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Remedy::CheckKey,
        StatusCode::NOT_FOUND => Remedy::CreateBucket,
        StatusCode::TOO_MANY_REQUESTS => Remedy::Retry,
        status if status.is_server_error() => Remedy::Retry,
        _ => Remedy::CheckLog,
    };
    StorageError::Rejected { status: status.as_u16(), message, remedy }
}
