//! Gauges over all tenants that no single process can measure. Each part is read from an index, or from a
//! table with one row per workspace.

use std::time::Duration;

use crate::{DbError, Tx};

/// Gauges over all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorGauges {
    /// Dead letters that are neither redriven nor discarded.
    pub dead_letters: i64,
    /// Installations whose token works.
    pub tokens_valid: i64,
    /// Installations whose token should have been refreshed but was not.
    pub tokens_unrefreshed: i64,
    /// Installations whose token is dead.
    pub tokens_disabled: i64,
    /// Workspaces warned this month that their budget is nearly used up.
    pub budgets_near_limit: i64,
    /// Workspaces with a question refused within the last hour because the budget was used up.
    pub budgets_exhausted: i64,
    /// People whose session was used within five minutes.
    pub dashboard_users: i64,
}

/// Computes the gauges. A token that expires within `unrefreshed` should have been refreshed. `over_budget`
/// is the reason stored with questions that the monthly budget refused.
pub async fn load_gauges(
    tx: &mut Tx,
    unrefreshed: Duration,
    over_budget: &str,
) -> Result<OperatorGauges, DbError> {
    Ok(sqlx::query_as!(
        OperatorGauges,
        r#"with month as (select date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' as begins_at),
           tokens as (
               select count(*) as installed, count(disabled_at) as dead,
                      count(*) filter (where disabled_at is null and refresh_token is not null
                          and token_expires_at < now() + make_interval(secs => $1)) as unrefreshed
               from installations
           ), budgets as (
               select count(*) filter (where budget_notified_at >= begins_at) as near,
                      count(*) filter (where exists (
                          select from usage where usage.tenant_id = settings.tenant_id and outcome = 'refused'
                            and reason = $2 and created_at >= greatest(begins_at, now() - interval '1 hour'))) as over
               from settings, month
           )
           select (select count(*) from events where outcome = 'set_aside') as "dead_letters!",
                  installed - dead - unrefreshed as "tokens_valid!", unrefreshed as "tokens_unrefreshed!",
                  dead as "tokens_disabled!", near as "budgets_near_limit!", over as "budgets_exhausted!",
                  (select count(distinct (tenant_id, user_id)) from sessions
                   where seen_at > now() - interval '5 minutes') as "dashboard_users!"
           from tokens, budgets"#,
        unrefreshed.as_secs_f64(),
        over_budget,
    )
    .fetch_one(tx)
    .await?)
}
