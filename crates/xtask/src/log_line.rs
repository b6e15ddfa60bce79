//! A service's JSON log line, for people.

use serde_json::Value;

/// One line: the time of day, the service, the level, the message, and what went wrong. What is no log line is shown
/// as it is.
pub fn render(name: &str, line: &str) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(line) else {
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
}
