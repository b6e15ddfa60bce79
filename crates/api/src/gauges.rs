//! The health checks and the gauges: of this process when they are requested, of all workspaces at an
//! interval.

use std::time::Duration;

use assistant::budget::BudgetDenied;
use cache::RedisClient;
use db::operators::OperatorGauges;
use db::{Db, DbError};
use metrics::gauge;
use service::{HealthCheck, HealthChecks};
use tokio::time::{MissedTickBehavior, interval};

use crate::token_refresh::TOKEN_REFRESH_AHEAD;

/// The interval between two queries, however often metrics are requested.
const GAUGE_INTERVAL: Duration = Duration::from_secs(30);

/// A token with a shorter remaining lifetime should have been refreshed long ago.
const REFRESH_OVERDUE_LIFETIME: Duration = Duration::from_secs(TOKEN_REFRESH_AHEAD.as_secs() / 2);

/// The health checks of `api`.
pub(crate) struct ApiHealthChecks {
    pub(crate) db: Db,
    pub(crate) redis: Option<RedisClient>,
}

impl HealthChecks for ApiHealthChecks {
    async fn checks(&self) -> Vec<HealthCheck> {
        let (health, redis) = tokio::join!(self.db.health(), RedisClient::status(self.redis.as_ref()));
        let checks = [
            HealthCheck::critical("database", health.database),
            HealthCheck::critical("schema", health.schema),
            HealthCheck::informational("redis", redis),
        ];
        checks.into_iter().chain(HealthCheck::database_role(&health.excess_rights)).collect()
    }

    async fn update_gauges(&self) {
        let counts = self.db.connection_counts();
        gauge!("enablebot_db_connections", "state" => "busy").set(counts.busy);
        gauge!("enablebot_db_connections", "state" => "idle").set(counts.idle);
        gauge!("enablebot_db_connections_limit").set(counts.max);
        if let Some(redis) = &self.redis {
            gauge!("enablebot_redis_available").set(u8::from(redis.is_available()));
        }
        let state = async { db::events::queue_state(&mut self.db.begin_cross_tenant().await?).await };
        match state.await {
            Ok(state) => {
                gauge!("enablebot_queue_depth").set(state.depth as f64);
                gauge!("enablebot_queue_oldest_seconds").set(state.oldest_seconds);
            }
            Err(error) => tracing::warn!(error = %error, "queue state query failed"),
        }
    }
}

/// Updates the gauges of all workspaces, which are the same on every replica. Never returns.
pub(crate) async fn run_gauge_loop(db: Db) {
    let mut ticks = interval(GAUGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match load_gauges(&db).await {
            Ok(gauges) => set_gauges(gauges),
            Err(error) => tracing::warn!(error = %error, "gauges of all workspaces not updated"),
        }
    }
}

async fn load_gauges(db: &Db) -> Result<OperatorGauges, DbError> {
    db::with_timeout(async {
        let mut tx = db.begin_cross_tenant().await?;
        db::operators::load_gauges(&mut tx, REFRESH_OVERDUE_LIFETIME, BudgetDenied::Month.reason()).await
    })
    .await
}

fn set_gauges(gauges: OperatorGauges) {
    gauge!("enablebot_dead_letter_events").set(gauges.dead_letters as f64);
    gauge!("enablebot_tokens", "state" => "good").set(gauges.tokens_valid as f64);
    gauge!("enablebot_tokens", "state" => "unrefreshed").set(gauges.tokens_unrefreshed as f64);
    gauge!("enablebot_tokens", "state" => "dead").set(gauges.tokens_disabled as f64);
    gauge!("enablebot_budget_workspaces", "state" => "near").set(gauges.budgets_near_limit as f64);
    gauge!("enablebot_budget_workspaces", "state" => "over").set(gauges.budgets_exhausted as f64);
    gauge!("enablebot_dashboard_users").set(gauges.dashboard_users as f64);
}
