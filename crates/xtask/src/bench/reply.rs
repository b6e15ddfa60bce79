//! The time that the service adds to a reply: the time from the event's delivery to the first and last
//! visible word, minus the time of the model and of Slack.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use simulator::Simulator;

use super::fixture::BenchFixture;
use super::results::BenchResult;
use crate::binaries::Binaries;
use crate::progress::step;
use crate::statistics::percentile;

const MODEL_FIRST_WORD_DELAY: Duration = Duration::from_millis(300);

/// Replies that begin evenly, so that `at_once` of them overlap, or all at the same moment.
struct ReplyLoad {
    name: &'static str,
    concurrency: usize,
    /// Messages sent before the clock starts, so that this many replies are in progress then.
    warm_up_replies: usize,
    replies: usize,
    word_interval: Duration,
    words: usize,
    /// The time between the first and the last measured message.
    duration: Duration,
}

const REPLY_LOADS: [ReplyLoad; 4] = [
    reply_load("1", 1, 2, 30, 20, 5, 30 * 600),
    reply_load("100", 100, 100, 300, 100, 48, 3 * 5_000),
    reply_load("1,000", 1_000, 1_000, 500, 1_000, 10, 5_000),
    reply_load("100 in one moment", 100, 0, 100, 100, 10, 0),
];

const fn reply_load(
    name: &'static str,
    concurrency: usize,
    warm_up_replies: usize,
    replies: usize,
    word_interval_ms: u64,
    words: usize,
    duration_ms: u64,
) -> ReplyLoad {
    let (gap, over) = (Duration::from_millis(word_interval_ms), Duration::from_millis(duration_ms));
    ReplyLoad { name, concurrency, warm_up_replies, replies, word_interval: gap, words, duration: over }
}

/// Added latency in sorted milliseconds.
struct AddedLatency {
    first_word_ms: Vec<f64>,
    last_word_ms: Vec<f64>,
}

pub(super) fn run(binaries: &Binaries) -> Result<Vec<BenchResult>> {
    let fixture = BenchFixture::build(binaries)?;
    let _api = fixture.api(&[("MAX_CONCURRENT_REPLIES", "1000")])?;
    let mut rows = Vec::new();
    let mut number = 0;
    for load in &REPLY_LOADS {
        let figures =
            step(&format!("replies at once: {}", load.name), || measure_load(&fixture, load, number))?;
        rows.push((load, figures));
        number += load.warm_up_replies + load.replies;
    }
    println!("\nreplies at once      added to          p50 ms     p99 ms    limits");
    for (load, figures) in rows {
        let limits = if load.name == "100" { "25, 100" } else { "" };
        print_row(load.name, "the first word", &figures.first_word_ms, limits);
        print_row(load.name, "the last word", &figures.last_word_ms, "");
    }
    println!("\nThe simulated Slack, the model, Postgres and api share this machine.");
    Ok(Vec::new())
}

fn measure_load(fixture: &BenchFixture, load: &ReplyLoad, number: usize) -> Result<AddedLatency> {
    fixture.set_model(MODEL_FIRST_WORD_DELAY, load.word_interval, load.words);
    let lead_time = load.duration.mul_f64(load.warm_up_replies as f64 / load.replies as f64);
    fixture.send_evenly(number, load.warm_up_replies, lead_time)?;
    let first = number + load.warm_up_replies;
    let asked = fixture.send_evenly(first, load.replies, load.duration)?;
    fixture.wait_until_drained(Duration::from_secs(120))?;
    let seen = ReplyTimeline::from_simulator(&fixture.simulator);
    let mut figures = AddedLatency { first_word_ms: Vec::new(), last_word_ms: Vec::new() };
    for (index, ts) in asked.iter().enumerate() {
        let one = seen.added_latency(first + index, ts);
        let (to_first, to_last) =
            one.with_context(|| format!("question {} of {} at once was not seen", index, load.concurrency))?;
        figures.first_word_ms.push(to_first);
        figures.last_word_ms.push(to_last);
    }
    figures.first_word_ms.sort_by(f64::total_cmp);
    figures.last_word_ms.sort_by(f64::total_cmp);
    Ok(figures)
}

/// Times at which the simulator saw each part of a reply, in microseconds.
struct ReplyTimeline {
    /// By the message's `ts`: its event id and when it was delivered.
    delivered: HashMap<String, (String, i64)>,
    /// By the message's number: when the model was asked, started and finished.
    answered: HashMap<usize, [i64; 3]>,
    /// By the message's `ts`.
    started: HashMap<String, i64>,
    /// By the event id.
    stopped: HashMap<String, i64>,
}

impl ReplyTimeline {
    fn from_simulator(simulator: &Simulator) -> Self {
        let mut seen = Self {
            delivered: HashMap::new(),
            answered: HashMap::new(),
            started: HashMap::new(),
            stopped: HashMap::new(),
        };
        for delivery in simulator.deliveries() {
            let sent = (delivery.event_id, delivery.sent_at.timestamp_micros());
            seen.delivered.entry(delivery.event_ts).or_insert(sent);
        }
        for answer in simulator.model_answers() {
            let times = [answer.requested_at, answer.first_token_at, answer.finished_at];
            if let Some(number) = question_number(&answer.last_message) {
                seen.answered.insert(number, times.map(|time| time.timestamp_micros()));
            }
        }
        for call in simulator.calls() {
            let (came, text) = (call.received_at.timestamp_micros(), |value: &serde_json::Value| {
                value.as_str().unwrap_or_default().to_owned()
            });
            match call.method.as_str() {
                "chat.startStream" => drop(seen.started.entry(text(&call.args["thread_ts"])).or_insert(came)),
                "chat.stopStream" => {
                    let event = text(&call.args["metadata"]["event_payload"]["event_id"]);
                    seen.stopped.insert(event, came);
                }
                _ => {}
            }
        }
        seen
    }

    /// Returns the milliseconds added before the first word and before the last one.
    fn added_latency(&self, number: usize, ts: &str) -> Option<(f64, f64)> {
        let (event_id, delivered) = self.delivered.get(ts)?;
        let [asked, began, ended] = self.answered.get(&number)?;
        let before = asked - delivered;
        let first = before + self.started.get(ts)? - began;
        let last = before + self.stopped.get(event_id)? - ended;
        Some((first as f64 / 1e3, last as f64 / 1e3))
    }
}

/// Returns the message's number, at any place in the prompt.
fn question_number(question: &str) -> Option<usize> {
    let digits = question.split_once("question <")?.1;
    digits.split_once('>')?.0.parse().ok()
}

fn print_row(name: &str, what: &str, sorted: &[f64], limits: &str) {
    let (p50, p99) = (percentile(sorted, 0.5), percentile(sorted, 0.99));
    println!("{name:19}  {what:15} {p50:8.1} {p99:10.1}    {limits}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_number_is_parsed() {
        assert_eq!(question_number("Ada: Please answer question <17>"), Some(17));
        assert_eq!(question_number("Hello"), None);
    }
}
