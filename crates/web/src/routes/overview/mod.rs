//! `GET /dashboard`: usage of the bot in the workspace, or by the person alone for members.

pub(crate) mod cache;
pub(super) mod stream;

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::overview::OverviewBucket;
use serde::Deserialize;

use crate::auth::CurrentUser;
use crate::chart::{BarChart, LineChart};
use crate::format::{self, PageFormat};
use crate::page::render_page;
use crate::routes::responses::database_error;
use crate::state::WebState;
use cache::{BudgetStatus, OverviewData, OverviewSpan};

const HOUR_SECONDS: u32 = 3_600;
const DAY_SECONDS: u32 = 24 * HOUR_SECONDS;

/// A time range that can be selected, and the width of its bars.
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
        step_label: "hour",
    },
    TimeRange {
        name: "7d",
        label: "7 days",
        seconds: 7 * DAY_SECONDS,
        step: 6 * HOUR_SECONDS,
        step_label: "6 hours",
    },
    TimeRange {
        name: "30d",
        label: "30 days",
        seconds: 30 * DAY_SECONDS,
        step: DAY_SECONDS,
        step_label: "day",
    },
    TimeRange {
        name: "90d",
        label: "90 days",
        seconds: 90 * DAY_SECONDS,
        step: 3 * DAY_SECONDS,
        step_label: "3 days",
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

/// The part of the page that people with the same permissions share.
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
    query: Result<Query<OverviewQuery>, QueryRejection>,
) -> Response {
    let name = query.map(|Query(query)| query.range).unwrap_or_default();
    let range =
        TIME_RANGES.iter().find(|range| Some(range.name) == name.as_deref()).unwrap_or(&TIME_RANGES[1]);
    let window = OverviewSpan { seconds: range.seconds, step: range.step };
    let is_admin = signed_in.is_admin;
    let render =
        |data: &OverviewData| OverviewContent::new(is_admin, range, data).render().unwrap_or_default();
    match app.overview_cache.get_or_render(&signed_in, window, render).await {
        Ok(rendered) => {
            let content = signed_in.record_age(rendered);
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
        let buckets = data.overview.buckets.iter();
        let counts = |it: &OverviewBucket| [it.answered, it.refused, it.failed].map(|count| count as f64);
        let questions = BarChart::draw(buckets.clone().map(|it| (it.begins_at, counts(it))));
        let costs = BarChart::draw(buckets.clone().map(|it| (it.begins_at, [it.cost_micros as f64])));
        let first_tokens = buckets.clone().map(|it| it.first_token_p50).collect();
        let times = LineChart::draw(&[first_tokens, buckets.map(|it| it.total_p50).collect()]);
        Self { is_admin, range, data, questions, times, costs }
    }

    fn ranges(&self) -> &'static [TimeRange] {
        &TIME_RANGES
    }

    fn seconds(&self, seconds: &Option<f64>) -> String {
        format::seconds(*seconds)
    }

    /// Returns the percentage of feedback that is positive; `None` without feedback.
    fn percent_positive(&self) -> Option<i64> {
        let totals = &self.data.overview.totals;
        (totals.liked * 100).checked_div(totals.liked + totals.disliked)
    }

    /// Returns the highest value of the response times.
    fn max_seconds(&self) -> String {
        format::seconds(Some(self.times.max))
    }

    /// Returns the highest bar of the costs.
    fn max_dollars(&self) -> String {
        format::dollars(self.costs.max as i64)
    }
}

impl BudgetStatus {
    /// Returns the used percentage of the budget.
    fn percent_used(&self) -> i64 {
        (self.spent.saturating_mul(100) / self.limit.max(1)).min(100)
    }
}
