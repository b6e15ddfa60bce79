//! Behaviour of the model, set as a query string after its name: `offline?ttft=200&gap=30`.

use std::time::Duration;

/// Behaviour options. Unknown keys and non-numeric values are ignored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelOptions {
    /// `ttft`, ms until the first token.
    pub(super) ttft: Duration,
    /// `gap`, ms between tokens.
    pub(super) token_interval: Duration,
    /// `words`: length of the answer, which is repeated or cut to it.
    pub(super) word_count: Option<usize>,
    /// `fail`: respond with this HTTP status.
    pub(super) fail_status: Option<u16>,
    /// `fail_times`: how many requests fail before the rest succeeds.
    pub(super) max_failures: u64,
    /// `cut`: the connection breaks after this many tokens.
    pub(super) cut_after_tokens: Option<usize>,
    /// `stall`: the stream goes silent after this many tokens, and the connection stays open.
    pub(super) stall_after_tokens: Option<usize>,
    /// `stop`: the finish reason instead of `stop`.
    pub(super) finish_reason: Option<String>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            ttft: Duration::from_millis(300),
            token_interval: Duration::from_millis(25),
            word_count: None,
            fail_status: None,
            max_failures: u64::MAX,
            cut_after_tokens: None,
            stall_after_tokens: None,
            finish_reason: None,
        }
    }
}

impl ModelOptions {
    /// Reads the options from the model's name; options that a test set take precedence.
    pub(super) fn parse(model: &str, override_query: Option<&str>) -> Self {
        let mut knobs = Self::default();
        let named = model.split_once('?').map(|(_, query)| query);
        for query in [named, override_query].into_iter().flatten() {
            for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
                knobs.set(&key, &value);
            }
        }
        knobs
    }

    fn set(&mut self, key: &str, value: &str) {
        if key == "stop" {
            self.finish_reason = Some(value.to_owned());
            return;
        }
        let Ok(number) = value.parse::<u64>() else { return };
        let count = usize::try_from(number).ok();
        match key {
            "ttft" => self.ttft = Duration::from_millis(number),
            "gap" => self.token_interval = Duration::from_millis(number),
            "words" => self.word_count = count,
            "fail" => self.fail_status = u16::try_from(number).ok(),
            "fail_times" => self.max_failures = number,
            "cut" => self.cut_after_tokens = count,
            "stall" => self.stall_after_tokens = count,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn override_wins_over_model_name() {
        let knobs = ModelOptions::parse("offline?ttft=200&gap=x&stop=length", Some("ttft=5&cut=3"));
        let expected = ModelOptions {
            ttft: Duration::from_millis(5),
            cut_after_tokens: Some(3),
            finish_reason: Some("length".into()),
            ..ModelOptions::default()
        };
        assert_eq!(knobs, expected);
        assert_eq!(ModelOptions::parse("gpt", None), ModelOptions::default());
    }
}
