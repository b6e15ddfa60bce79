//! `GET /dashboard`: what the bot did for the workspace, or for whoever may see only their own.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::DbError;
use db::overview::{Bucket, Reason, Scope, Totals};
use serde::Deserialize;

use super::trouble;
use crate::app::App;
use crate::chart::{Bars, Lines};
use crate::page::page;
use crate::session::SignedIn;
use crate::words;

/// Reasons that are told, at most.
const REASONS: i64 = 6;

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;

/// A time that can be looked back on, and how much of it makes a bar.
struct Range {
    name: &'static str,
    label: &'static str,
    seconds: f64,
    step: f64,
    step_label: &'static str,
}

const RANGES: [Range; 4] = [
    Range { name: "24h", label: "24 hours", seconds: DAY, step: HOUR, step_label: "an hour" },
    Range { name: "7d", label: "7 days", seconds: 7.0 * DAY, step: 6.0 * HOUR, step_label: "six hours" },
    Range { name: "30d", label: "30 days", seconds: 30.0 * DAY, step: DAY, step_label: "a day" },
    Range { name: "90d", label: "90 days", seconds: 90.0 * DAY, step: 3.0 * DAY, step_label: "three days" },
];

#[derive(Default, Deserialize)]
pub(crate) struct Asked {
    range: Option<String>,
}

/// What the database tells of that time.
struct Told {
    totals: Totals,
    buckets: Vec<Bucket>,
    reasons: Vec<Reason>,
    budget: Option<Budget>,
}

/// This month's, in millionths of a dollar.
struct Budget {
    spent: i64,
    /// For answers in work, at their worst.
    held: i64,
    of: i64,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    range: &'a Range,
    told: Told,
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
    match look(&app, &signed_in, range).await {
        Ok(told) => page(StatusCode::OK, &Overview::new(&signed_in, range, told)),
        Err(error) => trouble(&error),
    }
}

async fn look(app: &App, signed_in: &SignedIn, range: &Range) -> Result<Told, DbError> {
    let session = &signed_in.session;
    let user_id = (!signed_in.manages).then_some(&session.user_id);
    let scope = Scope { tenant_id: &session.tenant_id, user_id, seconds: range.seconds };
    let mut tx = app.db.begin().await?;
    let settings = db::settings::find(&mut tx, scope.tenant_id).await?.settings;
    let budget = match settings.budget_micros.filter(|_| signed_in.manages) {
        Some(of) => Some(Budget {
            spent: db::usage::spent_this_month(&mut tx, scope.tenant_id).await?,
            held: db::reservations::held(&mut tx, scope.tenant_id).await?,
            of,
        }),
        None => None,
    };
    Ok(Told {
        totals: db::overview::totals(&mut tx, scope).await?,
        buckets: db::overview::buckets(&mut tx, scope, range.step).await?,
        reasons: db::overview::list_reasons(&mut tx, scope, REASONS).await?,
        budget,
    })
}

impl<'a> Overview<'a> {
    fn new(signed_in: &'a SignedIn, range: &'a Range, told: Told) -> Self {
        let columns = told.buckets.iter();
        let counts = |one: &Bucket| [one.answered, one.refused, one.failed].map(|count| count as f64);
        let questions = Bars::draw(columns.clone().map(|one| (one.begins_at, counts(one))));
        let costs = Bars::draw(columns.clone().map(|one| (one.begins_at, [one.cost_micros as f64])));
        let first_words = columns.clone().map(|one| one.first_word_p50).collect();
        let times = Lines::draw(&[first_words, columns.map(|one| one.answer_p50).collect()]);
        Self { signed_in, here: "overview", range, told, questions, times, costs }
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
