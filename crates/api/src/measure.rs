//! What is measured beside the work. Of all workspaces together each replica tells the same, and asks for it now and then.

use std::sync::Arc;
use std::time::Duration;

use cache::Turn;
use chrono::Utc;
use db::DbError;
use db::operators::Gauges;
use metrics::{counter, gauge};
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::money::Refusal;
use crate::tokens;

/// Between two looks, whoever asks for metrics and how often.
const INTERVAL: Duration = Duration::from_secs(30);

/// A token with less left was to be replaced so long ago, and was not.
const UNREFRESHED: Duration = Duration::from_secs(tokens::AHEAD.as_secs() / 2);

/// The values of the label of `enablebot_put_off_total`.
pub(crate) const LIMITS: [&str; 2] = ["tenant", "global"];

/// Counts what may not begin yet, by the limit that holds it back.
pub(crate) fn count_put_off(turn: Turn) {
    let limit = match turn {
        Turn::Now => return,
        Turn::At(_) => LIMITS[0],
        Turn::Later(_) => LIMITS[1],
    };
    counter!("enablebot_put_off_total", "limit" => limit).increment(1);
}

/// The worker has looked for work, and has so many of its slots free.
pub(crate) fn note_claim(free: usize, all: usize) {
    gauge!("enablebot_worker_claimed_timestamp_seconds").set(Utc::now().timestamp_millis() as f64 / 1000.0);
    gauge!("enablebot_reply_slots", "state" => "free").set(free as f64);
    gauge!("enablebot_reply_slots", "state" => "busy").set((all - free) as f64);
}

/// Never returns.
pub(crate) async fn keep(app: Arc<App>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match look(&app).await {
            Ok(gauges) => set(gauges),
            Err(error) => {
                tracing::warn!(error = %error, "what is measured over all workspaces stays as it was")
            }
        }
    }
}

async fn look(app: &App) -> Result<Gauges, DbError> {
    db::in_time(async {
        let mut tx = app.db.begin_for_all().await?;
        db::operators::gauges(&mut tx, UNREFRESHED, Refusal::Month.reason()).await
    })
    .await
}

fn set(gauges: Gauges) {
    gauge!("enablebot_set_aside_events").set(gauges.set_aside as f64);
    gauge!("enablebot_tokens", "state" => "good").set(gauges.tokens_good as f64);
    gauge!("enablebot_tokens", "state" => "unrefreshed").set(gauges.tokens_unrefreshed as f64);
    gauge!("enablebot_tokens", "state" => "dead").set(gauges.tokens_dead as f64);
    gauge!("enablebot_budget_workspaces", "state" => "near").set(gauges.budgets_near as f64);
    gauge!("enablebot_budget_workspaces", "state" => "over").set(gauges.budgets_over as f64);
    gauge!("enablebot_dashboard_users").set(gauges.dashboard_users as f64);
}
