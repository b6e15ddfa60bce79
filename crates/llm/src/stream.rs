//! An answer as it streams in.

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
use crate::client::record_span_error;
use crate::error::{ModelError, classify};

/// An answer as it comes.
pub struct CompletionStream {
    chunks: StreamResponse<CompletionChunk>,
    breaker: Arc<Breaker>,
    idle_timeout: Duration,
    usage: Usage,
    finish_reason: Option<String>,
    has_output: bool,
    /// The call, which lasts as long as this.
    span: Span,
}

/// Read tolerantly: compatible servers leave fields out, or send others.
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
        Self {
            chunks,
            breaker,
            idle_timeout: idle_timeout,
            usage,
            finish_reason: None,
            has_output: false,
            span,
        }
    }

    /// The next words; `None` when the model has ended.
    ///
    /// # Errors
    /// The stream broke off, or nothing comes any more.
    pub async fn next(&mut self) -> Result<Option<String>, ModelError> {
        let words = self.read_text().await.inspect_err(|failure| {
            record_span_error(&self.span);
            self.breaker.record_failure(failure);
        })?;
        if !self.has_output {
            self.has_output = true;
            self.breaker.record_success();
        }
        Ok(words)
    }

    async fn read_text(&mut self) -> Result<Option<String>, ModelError> {
        loop {
            let chunk =
                timeout(self.idle_timeout, self.chunks.next()).await.map_err(|_| ModelError::Timeout)?;
            let Some(chunk) = chunk else { return self.finish_result() };
            let chunk = chunk.map_err(classify)?;
            if chunk.error.is_some() {
                return Err(ModelError::retry("the model broke off with an error"));
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
    pub fn finish_notice(&self) -> Option<&'static str> {
        match self.finish_reason.as_deref() {
            Some("length") => Some("_My answer reached its length limit here. Ask me to go on._"),
            Some("content_filter") => Some("_The model's content filter ended the answer here._"),
            _ => None,
        }
    }

    /// What it cost; known once it has ended.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// A stream that ends without a reason was cut.
    fn finish_result(&self) -> Result<Option<String>, ModelError> {
        match self.finish_reason {
            Some(_) => Ok(None),
            None => Err(ModelError::retry("the model's answer was cut off")),
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
