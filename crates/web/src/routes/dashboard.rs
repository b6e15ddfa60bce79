//! `GET /dashboard`: what the bot did for the workspace, or for whoever may see only their own.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use db::DbError;
use db::overview::{Bucket, Scope, Totals};
use serde::Deserialize;

use super::trouble;
use crate::app::App;
use crate::page::page;
use crate::session::SignedIn;

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

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    range: &'a Range,
    totals: Totals,
    chart: Chart,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let name = asked.map(|Query(asked)| asked.range).unwrap_or_default();
    let range = RANGES.iter().find(|range| Some(range.name) == name.as_deref()).unwrap_or(&RANGES[1]);
    match look(&app, &signed_in, range).await {
        Ok((totals, buckets)) => {
            let chart = Chart::draw(&buckets);
            page(StatusCode::OK, &Overview { signed_in: &signed_in, here: "overview", range, totals, chart })
        }
        Err(error) => trouble(&error),
    }
}

async fn look(app: &App, signed_in: &SignedIn, range: &Range) -> Result<(Totals, Vec<Bucket>), DbError> {
    let session = &signed_in.session;
    let user_id = (!signed_in.manages).then_some(&session.user_id);
    let scope = Scope { tenant_id: &session.tenant_id, user_id, seconds: range.seconds };
    let mut tx = app.db.begin().await?;
    let totals = db::overview::totals(&mut tx, scope).await?;
    Ok((totals, db::overview::buckets(&mut tx, scope, range.step).await?))
}

impl Overview<'_> {
    fn ranges(&self) -> &'static [Range] {
        &RANGES
    }

    fn number(&self, count: &i64) -> String {
        grouped(*count)
    }

    fn seconds(&self, seconds: &Option<f64>) -> String {
        in_words(*seconds)
    }

    fn asked(&self) -> i64 {
        let Totals { answered, failed, refused, stopped, .. } = self.totals;
        answered + failed + refused + stopped
    }
}

const HEIGHT: f64 = 150.0;
const WIDTH: f64 = 720.0;

/// Bars in the units of the picture.
struct Chart {
    bars: Vec<Bar>,
    bar_width: f64,
    most: i64,
    first: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
}

struct Bar {
    x: f64,
    answered: i64,
    answered_y: f64,
    answered_height: f64,
    unanswered: i64,
    unanswered_y: f64,
    unanswered_height: f64,
    begins_at: DateTime<Utc>,
}

impl Chart {
    fn draw(buckets: &[Bucket]) -> Self {
        let most = buckets.iter().map(|one| one.answered + one.unanswered).max().unwrap_or(0);
        let slot = WIDTH / buckets.len().max(1) as f64;
        let scale = |count: i64| HEIGHT * count as f64 / most.max(1) as f64;
        let bar = |(at, one): (usize, &Bucket)| {
            let (answered_height, unanswered_height) = (scale(one.answered), scale(one.unanswered));
            let answered_y = HEIGHT - answered_height;
            Bar {
                x: at as f64 * slot + slot * 0.1,
                answered: one.answered,
                answered_y,
                answered_height,
                unanswered: one.unanswered,
                unanswered_y: answered_y - unanswered_height,
                unanswered_height,
                begins_at: one.begins_at,
            }
        };
        Self {
            bars: buckets.iter().enumerate().map(bar).collect(),
            bar_width: slot * 0.8,
            most,
            first: buckets.first().map(|one| one.begins_at),
            last: buckets.last().map(|one| one.begins_at),
        }
    }
}

/// Seconds as people say them.
fn in_words(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds < 10.0 => format!("{seconds:.1} s"),
        Some(seconds) if seconds < 120.0 => format!("{seconds:.0} s"),
        Some(seconds) => format!("{:.0} min", seconds / 60.0),
    }
}

/// Thousands apart.
pub(super) fn grouped(count: i64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_fills_the_picture_and_nothing_divides_by_nothing() {
        let bucket = |answered, unanswered| Bucket { begins_at: Utc::now(), answered, unanswered };
        let chart = Chart::draw(&[bucket(3, 1), bucket(0, 0)]);
        assert_eq!((chart.most, chart.bars[0].unanswered_y), (4, 0.0));
        assert_eq!(chart.bars[1].answered_height, 0.0);
        assert_eq!(Chart::draw(&[bucket(0, 0)]).bars[0].answered_y, HEIGHT);
        assert!(Chart::draw(&[]).bars.is_empty());
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(12), "12");
        assert_eq!(
            [Some(0.44), Some(12.3), Some(200.0), None].map(in_words),
            ["0.4 s", "12 s", "3 min", "–"]
        );
    }
}
