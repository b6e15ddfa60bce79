//! A completion as it streams in.

use std::sync::Arc;
use std::time::Duration;

use async_openai::types::stream::StreamResponse;
use futures_util::StreamExt;
use models::Usage;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use tracing::Span;

use crate::breaker::Breaker;
use crate::error::{ModelError, classify};
use crate::request_span::record_span_error;

/// A streaming completion.
pub struct CompletionStream {
    chunks: StreamResponse<CompletionChunk>,
    breaker: Arc<Breaker>,
    idle_timeout: Duration,
    usage: Usage,
    finish_reason: Option<String>,
    has_output: bool,
    /// The request's span, which ends when the stream is dropped.
    span: Span,
}

/// One event of the stream. It is parsed leniently: compatible servers omit fields, or send others.
#[derive(Deserialize)]
pub(crate) struct CompletionChunk {
    #[serde(default)]
    choices: Vec<ChunkChoice>,
    usage: Option<ChunkUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    delta: Option<ChunkDelta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct ChunkDelta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct ChunkUsage {
    #[serde(default)]
    prompt_tokens: i64,
    #[serde(default)]
    completion_tokens: i64,
}

impl CompletionStream {
    pub(crate) fn new(
        chunks: StreamResponse<CompletionChunk>,
        model: &str,
        breaker: Arc<Breaker>,
        idle_timeout: Duration,
        span: Span,
    ) -> Self {
        let usage = Usage { model: model.to_owned(), ..Usage::default() };
        Self { chunks, breaker, idle_timeout, usage, finish_reason: None, has_output: false, span }
    }

    /// Returns the next piece of text; `None` at the end of the completion.
    ///
    /// # Errors
    /// The stream broke off or timed out.
    pub async fn next(&mut self) -> Result<Option<String>, ModelError> {
        let text = self.read_text().await.inspect_err(|error| {
            record_span_error(&self.span);
            self.breaker.record_failure(error);
        })?;
        if !self.has_output {
            self.has_output = true;
            self.breaker.record_success();
        }
        Ok(text)
    }

    async fn read_text(&mut self) -> Result<Option<String>, ModelError> {
        loop {
            let chunk =
                timeout(self.idle_timeout, self.chunks.next()).await.map_err(|_| ModelError::Timeout)?;
            let Some(chunk) = chunk else { return self.finish_result() };
            let chunk = chunk.map_err(classify)?;
            if chunk.error.is_some() {
                return Err(ModelError::retry("the model's stream ended with an error"));
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
            if let Some(text) = choice.delta.and_then(|delta| delta.content).filter(|text| !text.is_empty()) {
                return Ok(Some(text));
            }
        }
    }

    /// Returns the notice to append to a reply that the model did not complete.
    pub fn finish_notice(&self) -> Option<&'static str> {
        match self.finish_reason.as_deref() {
            Some("length") => Some("_My reply reached its length limit. Ask me to continue._"),
            Some("content_filter") => Some("_The model's content filter stopped this reply._"),
            _ => None,
        }
    }

    /// Returns the tokens used; known at the end of the stream.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    fn finish_result(&self) -> Result<Option<String>, ModelError> {
        // A stream that ends without a finish reason was cut off.
        match self.finish_reason {
            Some(_) => Ok(None),
            None => Err(ModelError::retry("the model's stream was cut off")),
        }
    }
}

impl Drop for CompletionStream {
    fn drop(&mut self) {
        // A span ends when it was last entered.
        let _entered = self.span.enter();
        if self.usage.prompt_tokens > 0 {
            self.span.record("gen_ai.usage.input_tokens", self.usage.prompt_tokens);
            self.span.record("gen_ai.usage.output_tokens", self.usage.completion_tokens);
        }
    }
}
