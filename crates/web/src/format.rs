//! Numbers, times and sums as people read them.

use chrono::{DateTime, TimeDelta, Utc};

/// Thousands apart.
pub(crate) fn grouped(count: i64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A duration; a dash where there is none.
pub(crate) fn seconds(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds < 10.0 => format!("{seconds:.1} s"),
        Some(seconds) if seconds < 120.0 => format!("{seconds:.0} s"),
        Some(seconds) => format!("{:.0} min", seconds / 60.0),
    }
}

/// Millionths of a dollar, to the cent; what is less is said so.
pub(crate) fn dollars(micros: i64) -> String {
    match micros {
        0 => "$0".to_owned(),
        1..10_000 => "< 1 ¢".to_owned(),
        _ => format!("${}.{:02}", grouped(micros / 1_000_000), micros % 1_000_000 / 10_000),
    }
}

/// How long ago.
pub(crate) fn ago(at: DateTime<Utc>) -> String {
    elapsed(Utc::now() - at)
}

fn elapsed(ago: TimeDelta) -> String {
    match ago.num_minutes() {
        ..1 => "less than a minute ago".to_owned(),
        minutes @ 1..120 => format!("{minutes} minutes ago"),
        minutes @ 120..2_880 => format!("{} hours ago", minutes / 60),
        minutes => format!("{} days ago", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_formatted() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(12), "12");
        assert_eq!([Some(0.44), Some(12.3), Some(200.0), None].map(seconds), ["0.4 s", "12 s", "3 min", "–"]);
        assert_eq!([0, 5, 12_340_000].map(dollars), ["$0", "< 1 ¢", "$12.34"]);
        let told = [0, 5, 300, 10_000].map(|minutes| elapsed(TimeDelta::minutes(minutes)));
        assert_eq!(told, ["less than a minute ago", "5 minutes ago", "5 hours ago", "6 days ago"]);
    }
}
