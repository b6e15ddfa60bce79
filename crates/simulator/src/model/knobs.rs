//! How the model behaves, written as a query behind its name: `offline?ttft=200&gap=30`.

use std::time::Duration;

/// The knobs; an unknown key or a value that is no number changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Knobs {
    /// `ttft`, ms until the first token.
    pub(super) ttft: Duration,
    /// `gap`, ms between tokens.
    pub(super) gap: Duration,
    /// `words`: the answer's length, repeated or cut to it.
    pub(super) words: Option<usize>,
    /// `fail`: answer with this HTTP status.
    pub(super) fail: Option<u16>,
    /// `fail_times`: how many requests fail before the rest succeeds.
    pub(super) fail_times: u64,
    /// `cut`: the connection breaks after so many tokens.
    pub(super) cut: Option<usize>,
    /// `stall`: nothing comes after so many tokens, and the connection stays.
    pub(super) stall: Option<usize>,
    /// `stop`: the finish reason instead of `stop`.
    pub(super) stop: Option<String>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            ttft: Duration::from_millis(300),
            gap: Duration::from_millis(25),
            words: None,
            fail: None,
            fail_times: u64::MAX,
            cut: None,
            stall: None,
            stop: None,
        }
    }
}

impl Knobs {
    /// Those in the model's name, and over them those a test has set.
    pub(super) fn of(model: &str, over: Option<&str>) -> Self {
        let mut knobs = Self::default();
        let named = model.split_once('?').map(|(_, query)| query);
        for query in [named, over].into_iter().flatten() {
            for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
                knobs.turn(&key, &value);
            }
        }
        knobs
    }

    fn turn(&mut self, key: &str, value: &str) {
        if key == "stop" {
            self.stop = Some(value.to_owned());
            return;
        }
        let Ok(number) = value.parse::<u64>() else { return };
        let count = usize::try_from(number).ok();
        match key {
            "ttft" => self.ttft = Duration::from_millis(number),
            "gap" => self.gap = Duration::from_millis(number),
            "words" => self.words = count,
            "fail" => self.fail = u16::try_from(number).ok(),
            "fail_times" => self.fail_times = number,
            "cut" => self.cut = count,
            "stall" => self.stall = count,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_sets_wins_over_the_name() {
        let knobs = Knobs::of("offline?ttft=200&gap=x&stop=length", Some("ttft=5&cut=3"));
        let expected = Knobs {
            ttft: Duration::from_millis(5),
            cut: Some(3),
            stop: Some("length".into()),
            ..Knobs::default()
        };
        assert_eq!(knobs, expected);
        assert_eq!(Knobs::of("gpt", None), Knobs::default());
    }
}
