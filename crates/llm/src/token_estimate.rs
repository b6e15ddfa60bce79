//! Token counts where the model reports none: the maximum before a request, an estimate after a broken
//! stream.

use models::Usage;
use serde_json::Value;

/// The average number of bytes per token.
const BYTES_PER_TOKEN: usize = 4;

/// The most tokens that servers add for each message.
const MESSAGE_OVERHEAD_TOKENS: usize = 16;

/// The most tokens that servers put before the first message.
const PROMPT_OVERHEAD_TOKENS: usize = 64;

/// An estimate of the tokens of an image.
const TYPICAL_IMAGE_TOKENS: usize = 1_000;

/// The most tokens of an image. `gpt-4o-mini` counts 5,667 tokens per tile and has up to eight tiles
/// (<https://platform.openai.com/docs/guides/images-vision#calculating-costs>); other models count a
/// twentieth of that.
const MAX_IMAGE_TOKENS: usize = 50_000;

/// The size of a prompt in bytes of text and number of images.
struct PromptSize {
    bytes: usize,
    images: usize,
}

/// Returns an upper bound of a prompt's tokens; for ordinary text it is about four times too high.
pub fn max_prompt_tokens(messages: &[Value]) -> i64 {
    // With every tokenizer in use, a token is at least one byte: a text has no more tokens than bytes.
    let PromptSize { bytes, images } = prompt_size(messages);
    clamp_to_i64(
        PROMPT_OVERHEAD_TOKENS + messages.len() * MESSAGE_OVERHEAD_TOKENS + bytes + images * MAX_IMAGE_TOKENS,
    )
}

/// Returns an estimate of a prompt's tokens.
pub fn estimate_prompt_tokens(messages: &[Value]) -> i64 {
    let PromptSize { bytes, images } = prompt_size(messages);
    clamp_to_i64(bytes.div_ceil(BYTES_PER_TOKEN) + images * TYPICAL_IMAGE_TOKENS)
}

/// Returns the usage to charge: the model's own count or, without one, an estimate from the lengths of the
/// prompt and the completion. The estimate never exceeds `max_completion_tokens`.
pub fn billed_usage(
    reported: &Usage,
    messages: &[Value],
    completion: &str,
    max_completion_tokens: Option<i64>,
) -> Usage {
    if reported.prompt_tokens + reported.completion_tokens > 0 {
        return reported.clone();
    }
    let completion_tokens = clamp_to_i64(completion.len().div_ceil(BYTES_PER_TOKEN));
    Usage {
        model: reported.model.clone(),
        prompt_tokens: estimate_prompt_tokens(messages),
        completion_tokens: completion_tokens.min(max_completion_tokens.unwrap_or(i64::MAX)),
    }
}

fn prompt_size(messages: &[Value]) -> PromptSize {
    let mut size = PromptSize { bytes: 0, images: 0 };
    for message in messages {
        match &message["content"] {
            Value::String(text) => size.bytes += text.len(),
            Value::Array(parts) => {
                for part in parts {
                    match part["text"].as_str() {
                        Some(text) => size.bytes += text.len(),
                        None => size.images += 1,
                    }
                }
            }
            _ => {}
        }
    }
    size
}

fn clamp_to_i64(tokens: usize) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cut_off_answer_is_billed_by_length() {
        let prompt = [json!({ "content": "12345678" }), json!({ "content": "1" })];
        let mut reported = Usage { model: "m".into(), ..Usage::default() };
        let estimated = billed_usage(&reported, &prompt, "12345", None);
        assert_eq!((estimated.prompt_tokens, estimated.completion_tokens), (3, 2));
        assert_eq!(billed_usage(&reported, &prompt, "12345", Some(1)).completion_tokens, 1);
        reported.completion_tokens = 7;
        assert_eq!(
            billed_usage(&reported, &prompt, "12345", Some(1)),
            reported,
            "the model's own count stays"
        );
    }

    #[test]
    fn prompt_estimate_is_below_maximum() {
        let image = json!({ "type": "image_url", "image_url": { "url": "x".repeat(5_000_000) } });
        let content = json!([{ "type": "text", "text": "What is this?" }, image]);
        let prompt = [json!({ "role": "user", "content": content })];
        assert_eq!(estimate_prompt_tokens(&prompt), 1_004);
        assert_eq!(max_prompt_tokens(&prompt), 50_000 + 13 + 80);
        let emoji = [json!({ "role": "user", "content": "🫠" })];
        assert!(max_prompt_tokens(&emoji) >= 4 + estimate_prompt_tokens(&emoji));
    }
}
