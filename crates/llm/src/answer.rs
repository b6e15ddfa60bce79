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
use crate::error::{ModelError, classify};
use crate::model::note_error;

/// An answer as it comes.
pub struct Answer {
    chunks: StreamResponse<Chunk>,
    breaker: Arc<Breaker>,
    patience: Duration,
    usage: Usage,
    finish_reason: Option<String>,
    has_spoken: bool,
    /// The call, which lasts as long as this.
    span: Span,
}

/// Read tolerantly: compatible servers leave fields out, or send others.
#[derive(Deserialize)]
pub(crate) struct Chunk {
    #[serde(default)]
    choices: Vec<ChunkChoice>,
    usage: Option<ChunkUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct ChunkChoice {
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

impl Answer {
    pub(crate) fn new(
        chunks: StreamResponse<Chunk>,
        model: &str,
        breaker: Arc<Breaker>,
        patience: Duration,
        span: Span,
    ) -> Self {
        let usage = Usage { model: model.to_owned(), ..Usage::default() };
        Self { chunks, breaker, patience, usage, finish_reason: None, has_spoken: false, span }
    }

    /// The next words; `None` when the model has ended.
    ///
    /// # Errors
    /// The stream broke off, or nothing comes any more.
    pub async fn next(&mut self) -> Result<Option<String>, ModelError> {
        let words = self.read().await.inspect_err(|failure| {
            note_error(&self.span);
            self.breaker.failed(failure);
        })?;
        if !self.has_spoken {
            self.has_spoken = true;
            self.breaker.succeeded();
        }
        Ok(words)
    }

    async fn read(&mut self) -> Result<Option<String>, ModelError> {
        loop {
            let chunk = timeout(self.patience, self.chunks.next()).await.map_err(|_| ModelError::Silent)?;
            let Some(chunk) = chunk else { return self.ended() };
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
    pub fn closing_remark(&self) -> Option<&'static str> {
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
    fn ended(&self) -> Result<Option<String>, ModelError> {
        match self.finish_reason {
            Some(_) => Ok(None),
            None => Err(ModelError::retry("the model's answer was cut off")),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // A span ends when it was last entered.
        let _entered = self.span.enter();
        if self.usage.prompt_tokens > 0 {
            self.span.record("gen_ai.usage.input_tokens", self.usage.prompt_tokens);
            self.span.record("gen_ai.usage.output_tokens", self.usage.completion_tokens);
        }
    }
}
