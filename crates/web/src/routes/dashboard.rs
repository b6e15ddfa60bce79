//! `GET /dashboard`: what the bot did for the workspace, or for whoever may see only their own.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::overview::Bucket;
use serde::Deserialize;

use super::trouble;
use crate::app::App;
use crate::chart::{Bars, Lines};
use crate::overviews::{Budget, Span, Told};
use crate::page::page;
use crate::session::SignedIn;
use crate::words;

const HOUR: u32 = 3_600;
const DAY: u32 = 24 * HOUR;

/// A time that can be looked back on, and how much of it makes a bar.
struct Range {
    name: &'static str,
    label: &'static str,
    seconds: u32,
    step: u32,
    step_label: &'static str,
}

static RANGES: [Range; 4] = [
    Range { name: "24h", label: "24 hours", seconds: DAY, step: HOUR, step_label: "an hour" },
    Range { name: "7d", label: "7 days", seconds: 7 * DAY, step: 6 * HOUR, step_label: "six hours" },
    Range { name: "30d", label: "30 days", seconds: 30 * DAY, step: DAY, step_label: "a day" },
    Range { name: "90d", label: "90 days", seconds: 90 * DAY, step: 3 * DAY, step_label: "three days" },
];

#[derive(Default, Deserialize)]
pub(crate) struct Asked {
    range: Option<String>,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Page<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    content: &'a str,
}

/// What of the page is the same for all who may see the same.
#[derive(Template)]
#[template(path = "overview_content.html")]
struct Overview<'a> {
    manages: bool,
    range: &'static Range,
    told: &'a Told,
    questions: Bars,
    times: Lines,
    costs: Bars,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let name = asked.map(|Query(asked)| asked.range).unwrap_or_default();
    let range = RANGES.iter().find(|range| Some(range.name) == name.as_deref()).unwrap_or(&RANGES[1]);
    let span = Span { seconds: range.seconds, step: range.step };
    let manages = signed_in.manages;
    let draw = |told: &Told| Overview::new(manages, range, told).render().unwrap_or_default();
    match app.told.find(&signed_in, span, draw).await {
        Ok(drawn) => {
            let content = signed_in.note(drawn);
            page(StatusCode::OK, &Page { signed_in: &signed_in, here: "overview", content: &content })
        }
        Err(error) => trouble(&error),
    }
}

impl<'a> Overview<'a> {
    fn new(manages: bool, range: &'static Range, told: &'a Told) -> Self {
        let columns = told.overview.buckets.iter();
        let counts = |one: &Bucket| [one.answered, one.refused, one.failed].map(|count| count as f64);
        let questions = Bars::draw(columns.clone().map(|one| (one.begins_at, counts(one))));
        let costs = Bars::draw(columns.clone().map(|one| (one.begins_at, [one.cost_micros as f64])));
        let first_words = columns.clone().map(|one| one.first_word_p50).collect();
        let times = Lines::draw(&[first_words, columns.map(|one| one.answer_p50).collect()]);
        Self { manages, range, told, questions, times, costs }
    }

    fn ranges(&self) -> &'static [Range] {
        &RANGES
    }

    fn number(&self, count: &i64) -> String {
        words::grouped(*count)
    }

    fn seconds(&self, seconds: &Option<f64>) -> String {
        words::seconds(*seconds)
    }

    fn dollars(&self, micros: &i64) -> String {
        words::dollars(*micros)
    }

    /// The highest point of the times.
    fn most_seconds(&self) -> String {
        words::seconds(Some(self.times.most))
    }

    /// The highest bar of the costs.
    fn most_dollars(&self) -> String {
        words::dollars(self.costs.most as i64)
    }
}

impl Budget {
    /// What is left of it; nothing where it is overdrawn.
    fn left(&self) -> i64 {
        (self.of - self.spent).max(0)
    }

    /// Hundredths that are used up.
    fn percent(&self) -> i64 {
        (self.spent.saturating_mul(100) / self.of.max(1)).min(100)
    }
}
