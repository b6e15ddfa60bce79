//! Formatting of numbers, durations and amounts for people.

use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};

/// Formatting methods of all templates.
pub(crate) trait PageFormat {
    /// Formats a number with thousands separators.
    fn number(&self, count: &i64) -> String {
        grouped(*count)
    }

    /// Formats millionths of a dollar, to the cent.
    fn dollars(&self, micros: &i64) -> String {
        dollars(*micros)
    }

    /// Formats the time since `at`.
    fn ago(&self, at: &DateTime<Utc>) -> String {
        ago(*at)
    }
}

impl<T: Template> PageFormat for T {}

/// Formats a number with thousands separators.
pub(crate) fn grouped(count: i64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats a duration; `None` becomes a dash.
pub(crate) fn seconds(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds < 10.0 => format!("{seconds:.1} s"),
        Some(seconds) if seconds < 120.0 => format!("{seconds:.0} s"),
        Some(seconds) => format!("{:.0} min", seconds / 60.0),
    }
}

/// Formats millionths of a dollar, to the cent.
pub(crate) fn dollars(micros: i64) -> String {
    match micros {
        0 => "$0".to_owned(),
        1..10_000 => "< $0.01".to_owned(),
        _ => format!("${}.{:02}", grouped(micros / 1_000_000), micros % 1_000_000 / 10_000),
    }
}

/// Returns the outcome of an event in the words of the pages.
pub(crate) fn outcome_label(outcome: &str) -> String {
    match outcome {
        "set_aside" => "failed".to_owned(),
        "stale" => "outdated".to_owned(),
        "not_addressed" => "not for the bot".to_owned(),
        "from_bot" => "from a bot".to_owned(),
        outcome => outcome.replace('_', " "),
    }
}

/// Returns an action of the audit log in the words of the pages.
pub(crate) fn action_label(action: &str) -> String {
    match action {
        "set_aside" => "failed".to_owned(),
        "redriven" => "retried".to_owned(),
        "person_forgotten" => "person deleted".to_owned(),
        "profile_set" => "profile changed".to_owned(),
        "channel_set" => "channel changed".to_owned(),
        "weight_set" => "priority changed".to_owned(),
        "budget_warned" => "budget alert sent".to_owned(),
        action => action.replace('_', " "),
    }
}

/// Formats the time since `at`.
pub(crate) fn ago(at: DateTime<Utc>) -> String {
    elapsed(Utc::now() - at)
}

fn elapsed(ago: TimeDelta) -> String {
    match ago.num_minutes() {
        ..1 => "less than a minute ago".to_owned(),
        1 => "1 minute ago".to_owned(),
        minutes @ 2..120 => format!("{minutes} minutes ago"),
        minutes @ 120..2_880 => format!("{} hours ago", minutes / 60),
        minutes => format!("{} days ago", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_formatted() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
        assert_eq!([Some(0.44), Some(12.3), Some(200.0), None].map(seconds), ["0.4 s", "12 s", "3 min", "–"]);
        assert_eq!([0, 5, 12_340_000].map(dollars), ["$0", "< $0.01", "$12.34"]);
        let texts = [0, 1, 5, 300, 10_000].map(|minutes| elapsed(TimeDelta::minutes(minutes)));
        assert_eq!(
            texts,
            ["less than a minute ago", "1 minute ago", "5 minutes ago", "5 hours ago", "6 days ago"]
        );
    }
}
