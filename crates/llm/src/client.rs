//! The client for the model's server: tries the models in order and opens a completion stream.

use std::sync::Arc;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use models::Usage;
use moka::sync::Cache;
use reqwest::{Response, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::service_fn;
use tracing::Instrument;

use crate::breaker::Breaker;
use crate::drain_body::drain_on_drop;
use crate::error::{ModelError, Throttled, classify};
use crate::request_span::{record_span_error, request_span};
use crate::stream::{CompletionChunk, CompletionStream};

/// The values of the label `kind` of `enablebot_llm_tokens_total`.
pub const TOKEN_KINDS: [&str; 2] = ["prompt", "completion"];

/// The metric label for a workspace's own models. It keeps the number of label values independent of the
/// number of workspaces.
const OTHER_MODELS_LABEL: &str = "other";

/// The most circuit breakers kept in memory.
const MAX_BREAKERS: u64 = 10_000;

/// The deployment's model server and models.
#[derive(Clone, Debug)]
pub struct ModelSettings {
    /// `OPENAI_API_KEY`.
    pub api_key: SecretString,
    /// `OPENAI_BASE_URL`.
    pub base_url: String,
    /// `OPENAI_MODEL`, then `OPENAI_FALLBACK_MODELS`, in the order in which they are tried.
    pub models: Vec<String>,
}

/// A workspace's choice of model. The default is the deployment's.
#[derive(Clone, Debug, Default)]
pub struct ModelSelection {
    /// The models in the order in which they are tried. Empty: the deployment's models.
    pub models: Vec<String>,
    /// The workspace's tenant id and own API key. Its failures are counted apart from those of other
    /// workspaces.
    pub tenant_api_key: Option<(String, SecretString)>,
    /// The maximum length of the completion. `None`: the server's own limit.
    pub max_completion_tokens: Option<i64>,
}

/// A client for the deployment's model server.
#[derive(Debug)]
pub struct ModelClient {
    settings: ModelSettings,
    http: reqwest::Client,
    breakers: Cache<String, Arc<Breaker>>,
    idle_timeout: Duration,
}

impl ModelClient {
    /// Creates a client. `idle_timeout` limits the wait for the first chunk and between two chunks.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: &ModelSettings, idle_timeout: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(idle_timeout.min(Duration::from_secs(10)))
            // A second later than our own timeout, which reports the error more precisely.
            .read_timeout(idle_timeout + Duration::from_secs(1))
            .build()?;
        let breakers = Cache::new(MAX_BREAKERS);
        for model in settings.models.iter().map(String::as_str).chain([OTHER_MODELS_LABEL]) {
            for kind in TOKEN_KINDS {
                metrics::counter!("enablebot_llm_tokens_total", "model" => model.to_owned(), "kind" => kind)
                    .absolute(0);
            }
        }
        for model in &settings.models {
            breakers.insert(model.clone(), Arc::new(Breaker::with_metric(model)));
        }
        Ok(Self { settings: settings.clone(), http, breakers, idle_timeout })
    }

    /// Opens a stream from the first model that responds.
    ///
    /// # Errors
    /// No model responds. Of their errors, the one that is most likely to pass is returned.
    pub async fn stream_completion(
        &self,
        selection: &ModelSelection,
        messages: &[Value],
    ) -> Result<CompletionStream, ModelError> {
        let client = self.openai_client(selection);
        let mut errors = Vec::new();
        for model in self.model_names(selection) {
            let breaker = self.breaker(selection, model);
            let max_tokens = selection.max_completion_tokens;
            let result = match breaker.check() {
                Ok(()) => self
                    .stream_from_model(&client, model, &breaker, messages, max_tokens)
                    .await
                    .inspect_err(|error| {
                        tracing::warn!(error = %error, "model request failed: {model}");
                        breaker.record_failure(error);
                    }),
                Err(error) => Err(error),
            };
            match result {
                Ok(stream) => return Ok(stream),
                Err(error) => errors.push(error),
            }
        }
        let most_temporary = errors.into_iter().min_by_key(|error| match error {
            ModelError::Throttled { .. } => 0,
            ModelError::Retry { .. } | ModelError::Timeout => 1,
            _ => 2,
        });
        Err(most_temporary.unwrap_or_else(|| ModelError::retry("no model is configured")))
    }

    /// Returns the names of the models, in the order in which they are tried.
    pub fn model_names<'a>(&'a self, selection: &'a ModelSelection) -> &'a [String] {
        if selection.models.is_empty() { &self.settings.models } else { &selection.models }
    }

    /// Adds a completion's tokens to the metric.
    pub fn count_tokens(&self, usage: &Usage) {
        let model =
            if self.settings.models.contains(&usage.model) { &usage.model } else { OTHER_MODELS_LABEL };
        for (kind, tokens) in TOKEN_KINDS.into_iter().zip([usage.prompt_tokens, usage.completion_tokens]) {
            metrics::counter!("enablebot_llm_tokens_total", "model" => model.to_owned(), "kind" => kind)
                .increment(tokens.unsigned_abs());
        }
    }

    fn openai_client(&self, selection: &ModelSelection) -> Client<OpenAIConfig> {
        let key = selection.tenant_api_key.as_ref().map_or(&self.settings.api_key, |(_, key)| key);
        let config =
            OpenAIConfig::new().with_api_key(key.expose_secret()).with_api_base(&self.settings.base_url);
        let http = self.http.clone();
        // One shared HTTP client: creating one per request would read all of the machine's certificates. The
        // service is our own because the default one makes three attempts, which the event's attempt count
        // would miss.
        Client::build(http.clone(), config).with_http_service(service_fn(move |request| {
            let http = http.clone();
            async move { send_request(&http, request).await }
        }))
    }

    fn breaker(&self, selection: &ModelSelection, model: &str) -> Arc<Breaker> {
        let name = match &selection.tenant_api_key {
            Some((tenant, _)) => format!("{model} of {tenant}"),
            None => model.to_owned(),
        };
        self.breakers.get_with_by_ref(name.as_str(), || Arc::new(Breaker::new(&name)))
    }

    async fn stream_from_model(
        &self,
        client: &Client<OpenAIConfig>,
        model: &str,
        breaker: &Arc<Breaker>,
        messages: &[Value],
        max_tokens: Option<i64>,
    ) -> Result<CompletionStream, ModelError> {
        let mut request = json!({
            "model": model, "messages": messages, "stream": true,
            "stream_options": { "include_usage": true },
        });
        if let Some(max_tokens) = max_tokens {
            request[token_limit_field(&self.settings.base_url, model)] = max_tokens.into();
        }
        let (chat, span) = (client.chat(), request_span(model));
        let stream = chat.create_stream_byot::<Value, CompletionChunk>(request);
        let stream = timeout(self.idle_timeout, stream).instrument(span.clone()).await;
        let chunks = stream.map_err(|_| ModelError::Timeout).and_then(|stream| stream.map_err(classify));
        let chunks = chunks.inspect_err(|_| record_span_error(&span))?;
        Ok(CompletionStream::new(chunks, model, Arc::clone(breaker), self.idle_timeout, span))
    }
}

/// Returns the server's field for the maximum number of completion tokens.
///
/// OpenAI's newer models reject `max_tokens`. Many compatible servers know only that: Ollama and LM Studio
/// ignore `max_completion_tokens`, and older vLLM rejects it. OpenAI rejects requests with both
/// (<https://platform.openai.com/docs/api-reference/chat/create>).
fn token_limit_field(base_url: &str, model: &str) -> &'static str {
    let host =
        base_url.split("://").last().and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
    let name = model.rsplit('/').next().unwrap_or(model);
    let is_openai = [".openai.com", ".openai.azure.com"].iter().any(|domain| host.ends_with(domain));
    let is_newer = ["gpt-5", "o1", "o3", "o4"].iter().any(|family| name.starts_with(family));
    if is_openai || is_newer { "max_completion_tokens" } else { "max_tokens" }
}

/// Sends a request once. It reads `Retry-After` of a 429, which `async_openai` would drop.
async fn send_request(http: &reqwest::Client, request: HttpRequestFactory) -> Result<Response, OpenAIError> {
    let response = http.execute(request.build().await?).await?;
    match retry_after(&response) {
        Some(after) => Err(OpenAIError::Boxed(Box::new(Throttled(after)))),
        None => Ok(drain_on_drop(response)),
    }
}

/// Returns the pause that a 429 asks for; `None` if it names none, as when a quota is used up.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = value.trim().parse().ok()?;
    (response.status() == StatusCode::TOO_MANY_REQUESTS).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_limit_field_fits_server() {
        for (base_url, model) in [
            ("https://api.openai.com/v1", "gpt-4.1-mini"),
            ("https://ours.openai.azure.com/openai/v1", "our-deployment"),
            ("https://openrouter.ai/api/v1", "openai/gpt-5-mini"),
            ("http://litellm:4000", "o3"),
        ] {
            assert_eq!(token_limit_field(base_url, model), "max_completion_tokens", "{base_url} {model}");
        }
        for (base_url, model) in [
            ("http://localhost:11434/v1", "llama3.3"),
            ("http://vllm:8000/v1", "openai/gpt-oss-120b"),
            ("https://notopenai.com/v1", "mistral-small"),
        ] {
            assert_eq!(token_limit_field(base_url, model), "max_tokens", "{base_url} {model}");
        }
    }
}
