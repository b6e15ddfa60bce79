//! What is measured beside the work. Of all workspaces together each replica tells the same, and asks for it now and then.

use std::sync::Arc;
use std::time::Duration;

use cache::Admission;
use chrono::Utc;
use db::DbError;
use db::operators::OperatorGauges;
use metrics::{counter, gauge};
use tokio::time::{MissedTickBehavior, interval};

use crate::budget::BudgetDenied;
use crate::state::ApiState;
use crate::token_refresh;

/// Between two looks, whoever asks for metrics and how often.
const GAUGE_INTERVAL: Duration = Duration::from_secs(30);

/// A token with less left was to be replaced so long ago, and was not.
const REFRESH_OVERDUE_LIFETIME: Duration =
    Duration::from_secs(token_refresh::TOKEN_REFRESH_AHEAD.as_secs() / 2);

/// The values of the label of `enablebot_put_off_total`.
pub(crate) const RATE_LIMIT_LABELS: [&str; 2] = ["tenant", "global"];

/// Counts what may not begin yet, by the limit that holds it back.
pub(crate) fn count_rate_limited(turn: Admission) {
    let limit = match turn {
        Admission::Allowed => return,
        Admission::QueuedFor(_) => RATE_LIMIT_LABELS[0],
        Admission::RetryAfter(_) => RATE_LIMIT_LABELS[1],
    };
    counter!("enablebot_put_off_total", "limit" => limit).increment(1);
}

/// The worker has looked for work, and has so many of its slots free.
pub(crate) fn record_claim(free: usize, all: usize) {
    gauge!("enablebot_worker_claimed_timestamp_seconds").set(Utc::now().timestamp_millis() as f64 / 1000.0);
    gauge!("enablebot_reply_slots", "state" => "free").set(free as f64);
    gauge!("enablebot_reply_slots", "state" => "busy").set((all - free) as f64);
}

/// Never returns.
pub(crate) async fn run_gauge_loop(app: Arc<ApiState>) {
    let mut ticks = interval(GAUGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match load_gauges(&app).await {
            Ok(gauges) => set_gauges(gauges),
            Err(error) => {
                tracing::warn!(error = %error, "what is measured over all workspaces stays as it was")
            }
        }
    }
}

async fn load_gauges(app: &ApiState) -> Result<OperatorGauges, DbError> {
    db::with_timeout(async {
        let mut tx = app.db.begin_cross_tenant().await?;
        db::operators::load_gauges(&mut tx, REFRESH_OVERDUE_LIFETIME, BudgetDenied::Month.reason()).await
    })
    .await
}

fn set_gauges(gauges: OperatorGauges) {
    gauge!("enablebot_set_aside_events").set(gauges.dead_letters as f64);
    gauge!("enablebot_tokens", "state" => "good").set(gauges.tokens_valid as f64);
    gauge!("enablebot_tokens", "state" => "unrefreshed").set(gauges.tokens_unrefreshed as f64);
    gauge!("enablebot_tokens", "state" => "dead").set(gauges.tokens_disabled as f64);
    gauge!("enablebot_budget_workspaces", "state" => "near").set(gauges.budgets_near_limit as f64);
    gauge!("enablebot_budget_workspaces", "state" => "over").set(gauges.budgets_exhausted as f64);
    gauge!("enablebot_dashboard_users").set(gauges.dashboard_users as f64);
}
