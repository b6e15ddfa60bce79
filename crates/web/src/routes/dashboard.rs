//! `GET /dashboard`: what the bot did for the workspace, or for whoever may see only their own.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::overview::OverviewBucket;
use serde::Deserialize;

use super::database_error;
use crate::auth::CurrentUser;
use crate::chart::{BarChart, LineChart};
use crate::format;
use crate::overview_cache::{BudgetStatus, OverviewData, OverviewWindow};
use crate::page::render_page;
use crate::state::WebState;

const HOUR_SECONDS: u32 = 3_600;
const DAY_SECONDS: u32 = 24 * HOUR_SECONDS;

/// A time that can be looked back on, and how much of it makes a bar.
struct TimeRange {
    name: &'static str,
    label: &'static str,
    seconds: u32,
    step: u32,
    step_label: &'static str,
}

static TIME_RANGES: [TimeRange; 4] = [
    TimeRange {
        name: "24h",
        label: "24 hours",
        seconds: DAY_SECONDS,
        step: HOUR_SECONDS,
        step_label: "an hour",
    },
    TimeRange {
        name: "7d",
        label: "7 days",
        seconds: 7 * DAY_SECONDS,
        step: 6 * HOUR_SECONDS,
        step_label: "six hours",
    },
    TimeRange {
        name: "30d",
        label: "30 days",
        seconds: 30 * DAY_SECONDS,
        step: DAY_SECONDS,
        step_label: "a day",
    },
    TimeRange {
        name: "90d",
        label: "90 days",
        seconds: 90 * DAY_SECONDS,
        step: 3 * DAY_SECONDS,
        step_label: "three days",
    },
];

#[derive(Default, Deserialize)]
pub(crate) struct OverviewQuery {
    range: Option<String>,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    content: &'a str,
}

/// What of the page is the same for all who may see the same.
#[derive(Template)]
#[template(path = "overview_content.html")]
struct OverviewContent<'a> {
    is_admin: bool,
    range: &'static TimeRange,
    data: &'a OverviewData,
    questions: BarChart,
    times: LineChart,
    costs: BarChart,
}

pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    asked: Result<Query<OverviewQuery>, QueryRejection>,
) -> Response {
    let name = asked.map(|Query(asked)| asked.range).unwrap_or_default();
    let range =
        TIME_RANGES.iter().find(|range| Some(range.name) == name.as_deref()).unwrap_or(&TIME_RANGES[1]);
    let span = OverviewWindow { seconds: range.seconds, step: range.step };
    let manages = signed_in.is_admin;
    let draw = |told: &OverviewData| OverviewContent::new(manages, range, told).render().unwrap_or_default();
    match app.overview_cache.get_or_render(&signed_in, span, draw).await {
        Ok(drawn) => {
            let content = signed_in.record_age(drawn);
            render_page(
                StatusCode::OK,
                &OverviewPage { signed_in: &signed_in, active_page: "overview", content: &content },
            )
        }
        Err(error) => database_error(&error),
    }
}

impl<'a> OverviewContent<'a> {
    fn new(is_admin: bool, range: &'static TimeRange, data: &'a OverviewData) -> Self {
        let columns = data.overview.buckets.iter();
        let counts = |one: &OverviewBucket| [one.answered, one.refused, one.failed].map(|count| count as f64);
        let questions = BarChart::draw(columns.clone().map(|one| (one.begins_at, counts(one))));
        let costs = BarChart::draw(columns.clone().map(|one| (one.begins_at, [one.cost_micros as f64])));
        let first_words = columns.clone().map(|one| one.first_word_p50).collect();
        let times = LineChart::draw(&[first_words, columns.map(|one| one.answer_p50).collect()]);
        Self { is_admin, range, data, questions, times, costs }
    }

    fn ranges(&self) -> &'static [TimeRange] {
        &TIME_RANGES
    }

    fn number(&self, count: &i64) -> String {
        format::grouped(*count)
    }

    fn seconds(&self, seconds: &Option<f64>) -> String {
        format::seconds(*seconds)
    }

    fn dollars(&self, micros: &i64) -> String {
        format::dollars(*micros)
    }

    /// The highest point of the times.
    fn max_seconds(&self) -> String {
        format::seconds(Some(self.times.max))
    }

    /// The highest bar of the costs.
    fn max_dollars(&self) -> String {
        format::dollars(self.costs.max as i64)
    }
}

impl BudgetStatus {
    /// What is left of it; nothing where it is overdrawn.
    fn remaining(&self) -> i64 {
        (self.limit - self.spent).max(0)
    }

    /// Hundredths that are used up.
    fn percent_used(&self) -> i64 {
        (self.spent.saturating_mul(100) / self.limit.max(1)).min(100)
    }
}
