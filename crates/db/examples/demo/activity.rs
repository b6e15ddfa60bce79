//! Made-up activity, day by day: who asked, when, where, and how it ended.

use chrono::{DateTime, Datelike, TimeDelta, Utc, Weekday};
use models::EventOutcome;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::DemoWorkspace;
use crate::sample_dialogs::{PERSON_NAMES, SAMPLE_DIALOGS};

const SEED_DAYS: i64 = 90;

/// Relative activity of each hour, in UTC.
const HOUR_WEIGHTS: [u32; 24] =
    [0, 0, 0, 0, 0, 1, 3, 8, 14, 16, 15, 11, 8, 12, 15, 13, 10, 6, 3, 2, 1, 1, 0, 0];

/// A finished question.
pub(crate) struct SeedQuestion {
    pub(crate) user_id: String,
    pub(crate) channel_id: String,
    pub(crate) thread_ts: String,
    pub(crate) message_ts: String,
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) outcome: EventOutcome,
    pub(crate) reason: Option<&'static str>,
    pub(crate) text: &'static str,
    pub(crate) answer: &'static str,
    pub(crate) model: &'static str,
    pub(crate) prompt_tokens: i64,
    pub(crate) completion_tokens: i64,
    pub(crate) cost_micros: i64,
    pub(crate) first_token_ms: Option<i32>,
    pub(crate) total_ms: i32,
    pub(crate) liked: Option<bool>,
}

/// Returns a person of a workspace: the name, and the id that the simulated Slack gives them.
pub(crate) fn person(workspace: &DemoWorkspace, number: usize) -> (&'static str, String) {
    let name = PERSON_NAMES[number % workspace.people.min(PERSON_NAMES.len())];
    (name, format!("U0{}{}", name.to_uppercase(), workspace.id_suffix))
}

/// Generates the questions of all three months, oldest first.
pub(crate) fn questions(
    random: &mut StdRng,
    workspace: &DemoWorkspace,
    now: DateTime<Utc>,
) -> Vec<SeedQuestion> {
    let mut times: Vec<DateTime<Utc>> = Vec::new();
    for day in 0..SEED_DAYS {
        let midnight =
            (now - TimeDelta::days(SEED_DAYS - 1 - day)).date_naive().and_time(chrono::NaiveTime::MIN);
        let weekday = match midnight.weekday() {
            Weekday::Sat | Weekday::Sun => 0.08,
            Weekday::Fri => 0.75,
            _ => 1.0,
        };
        let growth = 0.3 + 0.7 * day as f64 / SEED_DAYS as f64;
        let count = (workspace.questions_per_day * weekday * growth * random.random_range(0.8..1.2)) as usize;
        for _ in 0..count {
            let seconds = hour(random) * 3_600 + random.random_range(0..3_600);
            times.push((midnight + TimeDelta::seconds(seconds)).and_utc());
        }
    }
    times.retain(|time| *time < now - TimeDelta::minutes(2));
    times.sort_unstable();
    let mut last: Option<(String, String, String)> = None;
    let mut questions = Vec::with_capacity(times.len());
    for (number, asked_at) in times.into_iter().enumerate() {
        let ts = format!("{}.{:06}", asked_at.timestamp(), number % 1_000_000);
        // Some questions continue the thread of the previous one.
        let previous = last.take().filter(|_| random.random_bool(0.3));
        let (user_id, channel_id, thread_ts) = previous.unwrap_or_else(|| new_thread(random, workspace, &ts));
        last = Some((user_id.clone(), channel_id.clone(), thread_ts.clone()));
        questions.push(question(random, (user_id, channel_id, thread_ts), ts, asked_at));
    }
    questions
}

fn hour(random: &mut StdRng) -> i64 {
    let mut rest = random.random_range(0..HOUR_WEIGHTS.iter().sum());
    let at = HOUR_WEIGHTS.iter().position(|weight| {
        let is_hit = rest < *weight;
        rest = rest.saturating_sub(*weight);
        is_hit
    });
    at.unwrap_or_default() as i64
}

/// Picks a person and a place: few people ask a lot, many ask a little, most of them in a direct message.
fn new_thread(random: &mut StdRng, workspace: &DemoWorkspace, ts: &str) -> (String, String, String) {
    let share: f64 = random.random();
    let (_, user_id) = person(workspace, (share * share * workspace.people as f64) as usize);
    let suffix = workspace.id_suffix;
    let channel_id = match random.random_range(0..10) {
        0 | 1 => format!("C0GENERAL{suffix}"),
        2 => format!("C0RANDOM{suffix}"),
        _ => format!("D{}", &user_id[1..]),
    };
    (user_id, channel_id, ts.to_owned())
}

fn question(
    random: &mut StdRng,
    (user_id, channel_id, thread_ts): (String, String, String),
    message_ts: String,
    asked_at: DateTime<Utc>,
) -> SeedQuestion {
    let (outcome, reason) = outcome(random);
    let (text, answer) = SAMPLE_DIALOGS[random.random_range(0..SAMPLE_DIALOGS.len())];
    let has_request = matches!(outcome, EventOutcome::Answered | EventOutcome::Stopped);
    let is_large = random.random_bool(0.08);
    let (model, prompt_price, completion_price) =
        if is_large { ("gpt-5", 1.25, 10.0) } else { ("gpt-5-mini", 0.25, 2.0) };
    let prompt_tokens = if has_request { random.random_range(350..2_800) } else { 0 };
    let completion_tokens = if has_request { random.random_range(40..650) } else { 0 };
    let cost = prompt_tokens as f64 * prompt_price + completion_tokens as f64 * completion_price;
    let slow = if random.random_bool(0.05) { 4 } else { 1 };
    let first_token_ms = has_request.then(|| random.random_range(320..1_100) * slow);
    let total_ms = first_token_ms.unwrap_or(40) + completion_tokens as i32 * random.random_range(7..13);
    let is_rated = outcome == EventOutcome::Answered && random.random_bool(0.12);
    SeedQuestion {
        user_id,
        channel_id,
        thread_ts,
        message_ts,
        asked_at,
        outcome,
        reason,
        text,
        answer,
        model: if has_request { model } else { "" },
        prompt_tokens,
        completion_tokens,
        cost_micros: cost as i64,
        first_token_ms,
        total_ms,
        liked: is_rated.then(|| random.random_bool(0.86)),
    }
}

fn outcome(random: &mut StdRng) -> (EventOutcome, Option<&'static str>) {
    match random.random_range(0..1_000) {
        0..22 => (
            EventOutcome::Refused,
            Some("the channel is not among those in which the workspace wants answers"),
        ),
        22..31 => (EventOutcome::Refused, Some("of another organisation; the channel is not open to them")),
        31..42 => (EventOutcome::DeadLettered, Some("the model answered 503: overloaded")),
        42..47 => (EventOutcome::DeadLettered, Some("the model said nothing for 30 seconds")),
        47..50 => (EventOutcome::Discarded, Some("Slack said channel_not_found")),
        50..63 => (EventOutcome::Stopped, None),
        _ => (EventOutcome::Answered, None),
    }
}
