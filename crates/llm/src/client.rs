//! The models in the order in which they are tried, and an answer as it streams in.

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
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::breaker::Breaker;
use crate::drain_body::drain_on_drop;
use crate::error::{ModelError, Throttled, classify};
use crate::stream::{CompletionChunk, CompletionStream};

/// The values of the label `kind` of `enablebot_llm_tokens_total`.
pub const TOKEN_KINDS: [&str; 2] = ["prompt", "completion"];

/// What a workspace's own models are called in metrics: no label has as many values as there are workspaces.
const OTHER_MODELS_LABEL: &str = "other";

/// Breakers that are kept, at most.
const MAX_BREAKERS: u64 = 10_000;

/// Which model answers, on any server with OpenAI's streaming `/chat/completions`.
#[derive(Clone, Debug)]
pub struct ModelSettings {
    /// `OPENAI_API_KEY`.
    pub api_key: SecretString,
    /// `OPENAI_BASE_URL`.
    pub base_url: String,
    /// `OPENAI_MODEL`, then `OPENAI_FALLBACK_MODELS`, in the order in which they are tried.
    pub models: Vec<String>,
}

/// What a workspace has chosen; nothing of it is what the deployment has.
#[derive(Clone, Debug, Default)]
pub struct ModelSelection {
    /// The models in the order in which they are tried; none are the deployment's.
    pub models: Vec<String>,
    /// The workspace's own key, and whose it is: what fails with it says nothing about other workspaces' models.
    pub tenant_api_key: Option<(String, SecretString)>,
    /// Where the answer ends at the latest; `None`: where the model's server ends it.
    pub max_completion_tokens: Option<i64>,
}

/// The models of this deployment.
#[derive(Debug)]
pub struct ModelClient {
    settings: ModelSettings,
    http: reqwest::Client,
    breakers: Cache<String, Arc<Breaker>>,
    idle_timeout: Duration,
}

impl ModelClient {
    /// `patience` is how long the server may stay silent, before the first word and between two.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: &ModelSettings, idle_timeout: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(idle_timeout.min(Duration::from_secs(10)))
            // A little later than the silence that is noticed here, which knows what it is.
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

    /// Asks the first model that answers. Where none does, what is most likely to pass decides what follows.
    ///
    /// # Errors
    /// No model answers.
    pub async fn stream_completion(
        &self,
        choice: &ModelSelection,
        messages: &[Value],
    ) -> Result<CompletionStream, ModelError> {
        let client = self.openai_client(choice);
        let mut errors = Vec::new();
        for model in self.model_names(choice) {
            let breaker = self.breaker(choice, model);
            let limit = choice.max_completion_tokens;
            let asked = match breaker.check() {
                Ok(()) => self
                    .stream_from_model(&client, model, &breaker, messages, limit)
                    .await
                    .inspect_err(|error| {
                        tracing::warn!(error = %error, "the model {model} did not answer");
                        breaker.record_failure(error);
                    }),
                Err(rests) => Err(rests),
            };
            match asked {
                Ok(answer) => return Ok(answer),
                Err(error) => errors.push(error),
            }
        }
        let likeliest = errors.into_iter().min_by_key(|error| match error {
            ModelError::Throttled { .. } => 0,
            ModelError::Retry { .. } | ModelError::Timeout => 1,
            _ => 2,
        });
        Err(likeliest.unwrap_or_else(|| ModelError::retry("no model is set")))
    }

    /// The models that are asked, in the order in which they are tried.
    pub fn model_names<'a>(&'a self, choice: &'a ModelSelection) -> &'a [String] {
        if choice.models.is_empty() { &self.settings.models } else { &choice.models }
    }

    /// Counts an answer's tokens.
    pub fn count_tokens(&self, usage: &Usage) {
        let model =
            if self.settings.models.contains(&usage.model) { &usage.model } else { OTHER_MODELS_LABEL };
        for (kind, tokens) in TOKEN_KINDS.into_iter().zip([usage.prompt_tokens, usage.completion_tokens]) {
            metrics::counter!("enablebot_llm_tokens_total", "model" => model.to_owned(), "kind" => kind)
                .increment(tokens.unsigned_abs());
        }
    }

    /// By its own service the client would try three times inside, unseen by the event's count of tries.
    fn openai_client(&self, choice: &ModelSelection) -> Client<OpenAIConfig> {
        let key = choice.tenant_api_key.as_ref().map_or(&self.settings.api_key, |(_, key)| key);
        let config =
            OpenAIConfig::new().with_api_key(key.expose_secret()).with_api_base(&self.settings.base_url);
        let http = self.http.clone();
        // Over the client that is there: one made for each question would read all of the machine's certificates.
        Client::build(http.clone(), config).with_http_service(service_fn(move |request| {
            let http = http.clone();
            async move { send_request(&http, request).await }
        }))
    }

    fn breaker(&self, choice: &ModelSelection, model: &str) -> Arc<Breaker> {
        let name = match &choice.tenant_api_key {
            Some((owner, _)) => format!("{model} of {owner}"),
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
        limit: Option<i64>,
    ) -> Result<CompletionStream, ModelError> {
        let mut request = json!({
            "model": model, "messages": messages, "stream": true,
            "stream_options": { "include_usage": true },
        });
        if let Some(limit) = limit {
            request[token_limit_field(&self.settings.base_url, model)] = limit.into();
        }
        let (chat, span) = (client.chat(), call_span(model));
        let opened = chat.create_stream_byot::<Value, CompletionChunk>(request);
        let opened = timeout(self.idle_timeout, opened).instrument(span.clone()).await;
        let chunks = opened.map_err(|_| ModelError::Timeout).and_then(|opened| opened.map_err(classify));
        let chunks = chunks.inspect_err(|_| record_span_error(&span))?;
        Ok(CompletionStream::new(chunks, model, Arc::clone(breaker), self.idle_timeout, span))
    }
}

/// A call of the model, from the question to the last word; nothing of either is in it.
/// Source: <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>
fn call_span(model: &str) -> Span {
    tracing::info_span!(
        target: "otel",
        "chat",
        otel.name = %format_args!("chat {model}"),
        otel.kind = "client",
        otel.status_code = Empty,
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = "openai",
        gen_ai.request.model = model,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
    )
}

pub(crate) fn record_span_error(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// What a server calls the limit of an answer. OpenAI's newer models refuse `max_tokens`, and many compatible servers know
/// nothing else: Ollama and LM Studio pass over `max_completion_tokens`, older vLLM refuses it. Both at once are refused by
/// OpenAI (<https://platform.openai.com/docs/api-reference/chat/create>).
fn token_limit_field(base_url: &str, model: &str) -> &'static str {
    let host =
        base_url.split("://").last().and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
    let name = model.rsplit('/').next().unwrap_or(model);
    let is_openai = [".openai.com", ".openai.azure.com"].iter().any(|domain| host.ends_with(domain));
    let is_newer = ["gpt-5", "o1", "o3", "o4"].iter().any(|family| name.starts_with(family));
    if is_openai || is_newer { "max_completion_tokens" } else { "max_tokens" }
}

/// Sends a request once; what a server says with 429 about the time to wait would not come through the client.
async fn send_request(http: &reqwest::Client, request: HttpRequestFactory) -> Result<Response, OpenAIError> {
    let response = http.execute(request.build().await?).await?;
    match retry_after(&response) {
        Some(after) => Err(OpenAIError::Boxed(Box::new(Throttled(after)))),
        None => Ok(drain_on_drop(response)),
    }
}

/// A quota that is used up is said with 429 too, but then without a time.
fn retry_after(response: &Response) -> Option<Duration> {
    let told = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = told.trim().parse().ok()?;
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
