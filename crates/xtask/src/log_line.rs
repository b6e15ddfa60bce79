//! A service's JSON log line, rendered for people.

use serde_json::{Map, Value};

/// Renders a line as time, service, level, message and error. A line that is not JSON is shown unchanged.
pub fn render(name: &str, line: &str) -> String {
    let Some(fields) = parse(line) else {
        return format!("{:8} {name:9} {line}", "");
    };
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
    let time = text("timestamp").split_once('T').map_or("", |(_, time)| time.get(..8).unwrap_or(time));
    let mut shown = format!("{time:8} {name:9} {:5} {}", text("level"), text("message"));
    if let Some(milliseconds) = fields.get("duration_ms").and_then(Value::as_f64) {
        shown.push_str(&format!(" ({milliseconds:.0} ms)"));
    }
    for key in ["tenant_id", "event_id", "error"] {
        if !text(key).is_empty() {
            shown.push_str(&format!(" {key}={}", text(key)));
        }
    }
    shown
}

/// Returns whether a line reports a problem: a warning, an error, or anything but a log line, such as a
/// panic.
pub fn is_problem(name: &str, line: &str) -> bool {
    match parse(line).as_ref().and_then(|fields| fields.get("level")?.as_str()) {
        Some(level) => ["WARN", "ERROR"].contains(&level),
        // The simulator does not log in JSON.
        None if name == "simulator" => {
            [" WARN ", " ERROR ", "panicked"].iter().any(|part| line.contains(part))
        }
        None => true,
    }
}

fn parse(line: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_line_is_rendered_for_people() {
        let line = r#"{"timestamp":"2026-11-24T09:08:07.123Z","service":"api","level":"WARN","tenant_id":"T1",
            "user_id":null,"message":"the model is slow","duration_ms":12.4,"status":"error","error":"timeout"}"#;
        let shown = "09:08:07 api       WARN  the model is slow (12 ms) tenant_id=T1 error=timeout";
        assert_eq!(render("api", line), shown);
    }

    #[test]
    fn other_lines_are_unchanged() {
        assert_eq!(render("web", "thread main panicked"), "         web       thread main panicked");
    }

    #[test]
    fn only_problems_are_printed() {
        assert!(!is_problem("web", r#"{"level":"INFO","message":"request"}"#));
        assert!(is_problem("web", r#"{"level":"ERROR","message":"database error"}"#));
        assert!(is_problem("web", "thread main panicked"));
        assert!(!is_problem("simulator", "Slack simulator: http://127.0.0.1:8002"));
        assert!(is_problem("simulator", "2026-11-24T09:08:07Z  WARN simulator: event given up"));
    }
}
