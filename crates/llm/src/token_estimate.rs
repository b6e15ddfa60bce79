//! How many tokens a call takes, where the model has not told: at most before it is asked, about after it broke off.

use models::Usage;
use serde_json::Value;

/// Bytes of a text that are about a token.
const BYTES_PER_TOKEN: usize = 4;

/// What stands around a message, and what servers put before all of them, at most.
const MESSAGE_OVERHEAD_TOKENS: usize = 16;
const PROMPT_OVERHEAD_TOKENS: usize = 64;

/// What an image takes, about and at most: `gpt-4o-mini` counts 5,667 tokens a tile and has up to eight of them
/// (<https://platform.openai.com/docs/guides/images-vision#calculating-costs>), others a twentieth of that.
const TYPICAL_IMAGE_TOKENS: usize = 1_000;
const MAX_IMAGE_TOKENS: usize = 50_000;

/// What is sent in bytes and images.
struct PromptSize {
    bytes: usize,
    images: usize,
}

/// The most tokens that a prompt may take. A token stands for one byte at least, with every tokenizer that is in use, so a
/// text has no more tokens than bytes; what people write has a fourth of that.
pub fn max_prompt_tokens(messages: &[Value]) -> i64 {
    let PromptSize { bytes, images } = prompt_size(messages);
    clamp_to_i64(
        PROMPT_OVERHEAD_TOKENS + messages.len() * MESSAGE_OVERHEAD_TOKENS + bytes + images * MAX_IMAGE_TOKENS,
    )
}

/// What a prompt takes about.
pub fn estimate_prompt_tokens(messages: &[Value]) -> i64 {
    let PromptSize { bytes, images } = prompt_size(messages);
    clamp_to_i64(bytes.div_ceil(BYTES_PER_TOKEN) + images * TYPICAL_IMAGE_TOKENS)
}

/// What a call took: as the model has told at its end or, where it has not, by the length of what was sent and said. It says
/// no more than it was let to.
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
    let mut extent = PromptSize { bytes: 0, images: 0 };
    for message in messages {
        match &message["content"] {
            Value::String(text) => extent.bytes += text.len(),
            Value::Array(parts) => {
                for part in parts {
                    match part["text"].as_str() {
                        Some(text) => extent.bytes += text.len(),
                        None => extent.images += 1,
                    }
                }
            }
            _ => {}
        }
    }
    extent
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
        let mut told = Usage { model: "m".into(), ..Usage::default() };
        let estimated = billed_usage(&told, &prompt, "12345", None);
        assert_eq!((estimated.prompt_tokens, estimated.completion_tokens), (3, 2));
        assert_eq!(billed_usage(&told, &prompt, "12345", Some(1)).completion_tokens, 1);
        told.completion_tokens = 7;
        assert_eq!(billed_usage(&told, &prompt, "12345", Some(1)), told, "what the model told stays");
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
