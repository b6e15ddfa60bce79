//! The model: any server with OpenAI's streaming `/chat/completions`.

mod breaker;

use std::sync::Arc;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::types::stream::StreamResponse;
use futures_util::StreamExt;
use models::Usage;
use reqwest::{Response, StatusCode, header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::service_fn;

use crate::failure::{Failure, SILENT};
use crate::settings::ModelSettings;
use breaker::Breaker;

const REFUSED: &str =
    "Sorry, the model did not take this message. It may be too long, or in a form it does not read.";
const WRONG_SETUP: &str =
    "Sorry, I cannot reach my model the way I am set up. Please tell whoever runs me; the log says more.";

/// The values of the label `kind` of `enablebot_llm_tokens_total`.
pub(crate) const TOKEN_KINDS: [&str; 2] = ["prompt", "completion"];

/// The models in the order in which they are tried.
#[derive(Debug)]
pub(crate) struct Model {
    client: Client<OpenAIConfig>,
    models: Vec<(String, Arc<Breaker>)>,
    patience: Duration,
}

/// An answer as it comes.
pub(crate) struct Answer {
    chunks: StreamResponse<Chunk>,
    breaker: Arc<Breaker>,
    patience: Duration,
    usage: Usage,
    finish_reason: Option<String>,
    has_spoken: bool,
}

/// Read tolerantly: compatible servers leave fields out, or send others.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<ChunkUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct ChunkUsage {
    #[serde(default)]
    prompt_tokens: i64,
    #[serde(default)]
    completion_tokens: i64,
}

impl Model {
    /// `patience` is how long the server may stay silent, before the first word and between two.
    pub(crate) fn new(settings: &ModelSettings, patience: Duration) -> Result<Self, reqwest::Error> {
        let config = OpenAIConfig::new()
            .with_api_key(settings.api_key.expose_secret())
            .with_api_base(&settings.base_url);
        let http = reqwest::Client::builder()
            .connect_timeout(patience.min(Duration::from_secs(10)))
            // A little later than the silence that is noticed here, which knows what it is.
            .read_timeout(patience + Duration::from_secs(1))
            .build()?;
        for model in &settings.models {
            for kind in TOKEN_KINDS {
                metrics::counter!("enablebot_llm_tokens_total", "model" => model.clone(), "kind" => kind)
                    .absolute(0);
            }
        }
        // By its own service the client would try three times inside, unseen by the event's count of tries.
        let client = Client::with_config(config).with_http_service(service_fn(move |request| {
            let http = http.clone();
            async move { send(&http, request).await }
        }));
        let models = settings.models.iter().map(|model| (model.clone(), Arc::new(Breaker::new(model))));
        Ok(Self { client, models: models.collect(), patience })
    }

    /// Asks the first model that answers. Where none does, what is most likely to pass decides what follows.
    pub(crate) async fn ask(&self, messages: &[Value]) -> Result<Answer, Failure> {
        let mut failures = Vec::with_capacity(self.models.len());
        for (model, breaker) in &self.models {
            let asked = match breaker.admit() {
                Ok(()) => self.ask_one(model, breaker, messages).await.inspect_err(|failure| {
                    tracing::warn!(error = ?failure, "the model {model} did not answer");
                    breaker.failed(failure);
                }),
                Err(rests) => Err(rests),
            };
            match asked {
                Ok(answer) => return Ok(answer),
                Err(failure) => failures.push(failure),
            }
        }
        let likeliest = failures.into_iter().min_by_key(|failure| match failure {
            Failure::Throttled { .. } => 0,
            Failure::Retry { .. } => 1,
            _ => 2,
        });
        Err(likeliest.unwrap_or_else(|| Failure::retry("no model is set")))
    }

    async fn ask_one(
        &self,
        model: &str,
        breaker: &Arc<Breaker>,
        messages: &[Value],
    ) -> Result<Answer, Failure> {
        let request = json!({
            "model": model, "messages": messages, "stream": true,
            "stream_options": { "include_usage": true },
        });
        let chat = self.client.chat();
        let opened = chat.create_stream_byot::<Value, Chunk>(request);
        let chunks = timeout(self.patience, opened).await.map_err(|_| silent())?.map_err(classify)?;
        let usage = Usage { model: model.to_owned(), ..Usage::default() };
        let breaker = Arc::clone(breaker);
        Ok(Answer { chunks, breaker, patience: self.patience, usage, finish_reason: None, has_spoken: false })
    }
}

impl Answer {
    /// The next words; `None` when the model has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Failure> {
        let words = self.read().await.inspect_err(|failure| self.breaker.failed(failure))?;
        if !self.has_spoken {
            self.has_spoken = true;
            self.breaker.succeeded();
        }
        Ok(words)
    }

    async fn read(&mut self) -> Result<Option<String>, Failure> {
        loop {
            let chunk = timeout(self.patience, self.chunks.next()).await.map_err(|_| silent())?;
            let Some(chunk) = chunk else { return self.ended() };
            let chunk = chunk.map_err(classify)?;
            if chunk.error.is_some() {
                return Err(Failure::retry("the model broke off with an error"));
            }
            if let Some(usage) = chunk.usage {
                self.usage.prompt_tokens = usage.prompt_tokens;
                self.usage.completion_tokens = usage.completion_tokens;
            }
            let Some(choice) = chunk.choices.into_iter().next() else { continue };
            // Some servers send an empty reason with every chunk.
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
                self.finish_reason = Some(reason);
            }
            if let Some(words) =
                choice.delta.and_then(|delta| delta.content).filter(|words| !words.is_empty())
            {
                return Ok(Some(words));
            }
        }
    }

    /// What is to be said behind an answer that did not end by itself.
    pub(crate) fn closing_remark(&self) -> Option<&'static str> {
        match self.finish_reason.as_deref() {
            Some("length") => Some("_My answer reached its length limit here. Ask me to go on._"),
            Some("content_filter") => Some("_The model's content filter ended the answer here._"),
            _ => None,
        }
    }

    /// What it cost; known once it has ended.
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// A stream that ends without a reason was cut.
    fn ended(&self) -> Result<Option<String>, Failure> {
        match self.finish_reason {
            Some(_) => Ok(None),
            None => Err(Failure::retry("the model's answer was cut off")),
        }
    }
}

/// Sends a request once; what a server says with 429 about the time to wait would not come through the client.
async fn send(http: &reqwest::Client, request: HttpRequestFactory) -> Result<Response, OpenAIError> {
    let response = http.execute(request.build().await?).await?;
    match retry_after(&response) {
        Some(after) => Err(OpenAIError::Boxed(Box::new(Throttled(after)))),
        None => Ok(response),
    }
}

/// A quota that is used up is said with 429 too, but then without a time.
fn retry_after(response: &Response) -> Option<Duration> {
    let told = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = told.trim().parse().ok()?;
    (response.status() == StatusCode::TOO_MANY_REQUESTS).then(|| Duration::from_secs(seconds))
}

#[derive(Debug, thiserror::Error)]
#[error("the model's server answered 429")]
struct Throttled(Duration);

fn silent() -> Failure {
    Failure::retry(SILENT)
}

/// Reads an error without its message: servers quote keys and prompts in it.
fn classify(error: OpenAIError) -> Failure {
    match error {
        OpenAIError::ApiError(answer) => {
            let code = answer.api_error.code.or(answer.api_error.r#type).unwrap_or_default();
            let reason = format!("the model's server answered {} {code}", answer.status_code.as_u16());
            match answer.status_code {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                    Failure::give_up(reason, WRONG_SETUP)
                }
                StatusCode::BAD_REQUEST
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY => Failure::give_up(reason, REFUSED),
                _ => Failure::retry(reason),
            }
        }
        OpenAIError::Reqwest(error) => Failure::retry(format!("the model cannot be reached: {error}")),
        OpenAIError::StreamError(_) => Failure::retry("the model's answer was cut off"),
        OpenAIError::Boxed(error) => match error.downcast_ref() {
            Some(throttled @ Throttled(after)) => {
                Failure::Throttled { reason: throttled.to_string(), after: *after }
            }
            None => Failure::retry("the model cannot be asked"),
        },
        OpenAIError::JSONDeserialize(..) => Failure::retry("the model's server sent what is no answer"),
        _ => Failure::retry("the model cannot be asked"),
    }
}
