//! A completion, split into tokens, in OpenAI's response formats.

use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use super::canned_answers;
use super::options::ModelOptions;

/// A completion to send.
pub(super) struct Completion {
    id: String,
    created: i64,
    model: String,
    /// One word each, with the preceding white space.
    pub(super) tokens: Vec<String>,
    finish_reason: String,
    prompt_tokens: usize,
}

impl Completion {
    /// Builds the completion for a request.
    pub(super) fn from_request(request: &Value, knobs: &ModelOptions) -> Self {
        let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut tokens = tokenize(&canned_answers::answer(messages));
        if let Some(words) = knobs.word_count {
            tokens = resize_tokens(tokens, words);
        }
        let mut finish_reason = knobs.finish_reason.clone().unwrap_or_else(|| "stop".into());
        let limit = request["max_completion_tokens"].as_u64().or_else(|| request["max_tokens"].as_u64());
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        if tokens.len() > limit {
            tokens.truncate(limit);
            finish_reason = "length".into();
        }
        Self {
            id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
            created: Utc::now().timestamp(),
            model: request["model"].as_str().unwrap_or_default().to_owned(),
            tokens,
            finish_reason,
            prompt_tokens: messages
                .iter()
                .map(|message| 4 + tokenize(&canned_answers::text_of(message)).len())
                .sum(),
        }
    }

    /// Returns the completion as one response.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{
                "index": 0, "finish_reason": self.finish_reason, "logprobs": null,
                "message": {"role": "assistant", "content": self.tokens.concat(), "refusal": null},
            }],
            "usage": self.usage(),
        })
    }

    /// Returns the stream's chunks, with at most `tokens` content chunks.
    pub(super) fn to_chunks(&self, include_usage: bool) -> Vec<Value> {
        let choice = |delta: Value, reason: Option<&str>| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]);
        let mut choices = vec![choice(json!({"role": "assistant", "content": ""}), None)];
        choices.extend(self.tokens.iter().map(|token| choice(json!({"content": token}), None)));
        choices.push(choice(json!({}), Some(&self.finish_reason)));
        let mut chunks: Vec<Value> = choices.into_iter().map(|choices| self.chunk(choices)).collect();
        if include_usage {
            for chunk in &mut chunks {
                chunk["usage"] = Value::Null;
            }
            let mut last = self.chunk(json!([]));
            last["usage"] = self.usage();
            chunks.push(last);
        }
        chunks
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": choices,
        })
    }

    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens.len(),
            "total_tokens": self.prompt_tokens + self.tokens.len(),
        })
    }
}

/// Splits text into words with their preceding white space, so that joining them restores the text.
fn tokenize(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut token = String::new();
    for character in text.chars() {
        if character.is_whitespace() && token.ends_with(|last: char| !last.is_whitespace()) {
            tokens.push(std::mem::take(&mut token));
        }
        token.push(character);
    }
    if !token.is_empty() {
        tokens.push(token);
    }
    tokens
}

/// Repeats or cuts the answer to exactly this many words.
fn resize_tokens(mut tokens: Vec<String>, words: usize) -> Vec<String> {
    if let Some(first) = tokens.first().filter(|_| tokens.len() < words).cloned() {
        let again = tokens.clone();
        let repeated = again.iter().cycle().enumerate().map(|(at, token)| match at % again.len() {
            0 => format!("\n\n{first}"),
            _ => token.clone(),
        });
        tokens.extend(repeated.take(words - again.len()));
    }
    tokens.truncate(words);
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_join_to_text() {
        for text in ["", "one", " one  two\n\nthree ", "`code`\n- a"] {
            assert_eq!(tokenize(text).concat(), text);
        }
        assert_eq!(tokenize("one two"), ["one", " two"]);
    }

    #[test]
    fn answer_has_requested_length() {
        for words in [0, 1, 2, 5, 80] {
            assert_eq!(resize_tokens(tokenize("one two"), words).len(), words);
        }
        assert!(resize_tokens(Vec::new(), 5).is_empty());
    }
}
