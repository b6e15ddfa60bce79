//! The time that the service adds to an answer: what is left of the way from the event's delivery to the first and the
//! last visible word when the model's and Slack's own time are taken out.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use simulator::Simulator;

use super::measured::Figure;
use super::percentile;
use super::town::Town;
use crate::binaries::Binaries;
use crate::progress::step;

const FIRST_WORD_AFTER: Duration = Duration::from_millis(300);

/// Replies that begin evenly, so that `at_once` of them are under way; or all in one moment.
struct Load {
    name: &'static str,
    at_once: usize,
    /// What is asked before the clock starts, so that so many are under way then.
    lead: usize,
    replies: usize,
    gap: Duration,
    words: usize,
    /// Between the first question and the last, of those that are measured.
    over: Duration,
}

const LOADS: [Load; 4] = [
    load("1", 1, 2, 30, 20, 5, 30 * 600),
    load("100", 100, 100, 300, 100, 48, 3 * 5_000),
    load("1,000", 1_000, 1_000, 500, 1_000, 10, 5_000),
    load("100 in one moment", 100, 0, 100, 100, 10, 0),
];

const fn load(
    name: &'static str,
    at_once: usize,
    lead: usize,
    replies: usize,
    gap_ms: u64,
    words: usize,
    over_ms: u64,
) -> Load {
    let (gap, over) = (Duration::from_millis(gap_ms), Duration::from_millis(over_ms));
    Load { name, at_once, lead, replies, gap, words, over }
}

/// Sorted milliseconds.
struct Figures {
    first: Vec<f64>,
    last: Vec<f64>,
}

pub(super) fn run(binaries: &Binaries) -> Result<Vec<Figure>> {
    let town = Town::build(binaries)?;
    let _api = town.api(&[("MAX_CONCURRENT_REPLIES", "1000")])?;
    let mut rows = Vec::new();
    let mut number = 0;
    for load in &LOADS {
        let figures = step(&format!("replies at once: {}", load.name), || measure(&town, load, number))?;
        rows.push((load, figures));
        number += load.lead + load.replies;
    }
    println!("\nreplies at once      added to          p50 ms     p99 ms    limits");
    for (load, figures) in rows {
        let limits = if load.name == "100" { "25, 100" } else { "" };
        row(load.name, "the first word", &figures.first, limits);
        row(load.name, "the last word", &figures.last, "");
    }
    println!("\nThe simulated Slack, the model, Postgres and api share this machine.");
    Ok(Vec::new())
}

fn measure(town: &Town, load: &Load, number: usize) -> Result<Figures> {
    town.set_model(FIRST_WORD_AFTER, load.gap, load.words);
    let lead_time = load.over.mul_f64(load.lead as f64 / load.replies as f64);
    town.ask_evenly(number, load.lead, lead_time)?;
    let first = number + load.lead;
    let asked = town.ask_evenly(first, load.replies, load.over)?;
    town.wait_until_done(Duration::from_secs(120))?;
    let seen = Seen::read(&town.simulator);
    let mut figures = Figures { first: Vec::new(), last: Vec::new() };
    for (index, ts) in asked.iter().enumerate() {
        let one = seen.added(first + index, ts);
        let (to_first, to_last) =
            one.with_context(|| format!("question {} of {} at once was not seen", index, load.at_once))?;
        figures.first.push(to_first);
        figures.last.push(to_last);
    }
    figures.first.sort_by(f64::total_cmp);
    figures.last.sort_by(f64::total_cmp);
    Ok(figures)
}

/// What the simulator saw and when, in microseconds.
struct Seen {
    /// By the question's `ts`: its event's id, and when that was delivered.
    delivered: HashMap<String, (String, i64)>,
    /// By the question's number: when the model was asked, began and ended.
    answered: HashMap<usize, [i64; 3]>,
    /// By the question's `ts`.
    started: HashMap<String, i64>,
    /// By the event's id.
    stopped: HashMap<String, i64>,
}

impl Seen {
    fn read(simulator: &Simulator) -> Self {
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
            let times = [answer.asked_at, answer.first_word_at, answer.ended_at];
            if let Some(number) = number(&answer.question) {
                seen.answered.insert(number, times.map(|time| time.timestamp_micros()));
            }
        }
        for call in simulator.calls() {
            let (came, text) = (call.came_at.timestamp_micros(), |value: &serde_json::Value| {
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

    /// The milliseconds added before the first word and before the last.
    fn added(&self, number: usize, ts: &str) -> Option<(f64, f64)> {
        let (event_id, delivered) = self.delivered.get(ts)?;
        let [asked, began, ended] = self.answered.get(&number)?;
        let before = asked - delivered;
        let first = before + self.started.get(ts)? - began;
        let last = before + self.stopped.get(event_id)? - ended;
        Some((first as f64 / 1e3, last as f64 / 1e3))
    }
}

/// The question's number, wherever in the prompt it stands.
fn number(question: &str) -> Option<usize> {
    let digits = question.split_once("question <")?.1;
    digits.split_once('>')?.0.parse().ok()
}

fn row(name: &str, what: &str, sorted: &[f64], limits: &str) {
    let (p50, p99) = (percentile(sorted, 0.5), percentile(sorted, 0.99));
    println!("{name:19}  {what:15} {p50:8.1} {p99:10.1}    {limits}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_known_by_its_number() {
        assert_eq!(number("Ada: Please answer question <17>"), Some(17));
        assert_eq!(number("Hello"), None);
    }
}
