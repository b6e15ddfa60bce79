//! What operators look at over all tenants: who uses the bot, what waits, what went wrong. Nobody else may ask this; what
//! is done to a tenant is asked by its id, in the files of the tables.

mod gauges;
mod keys;
mod queue;

use chrono::{DateTime, Utc};
use models::TenantId;

pub use self::gauges::{OperatorGauges, load_gauges};
pub use self::keys::{
    DataKeyCounts, KeyState, MasterKeyState, RetiredDataKey, count_data_keys, list_retired_keys,
    load_key_state,
};
pub use self::queue::{
    DeadLetter, QueueStats, TenantBacklog, list_backlogs, list_dead_letters, load_queue_stats,
};
use crate::{DbError, Tx};

/// A tenant among all of them.
#[derive(Clone, Debug)]
pub struct TenantSummary {
    /// The tenant.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: String,
    /// When it came first.
    pub created_at: DateTime<Utc>,
    /// When it was installed last; `None` once it is not.
    pub installed_at: Option<DateTime<Utc>>,
    /// Why the token is dead, if it is.
    pub disabled_reason: Option<String>,
    /// What Slack last refused for how the app is set up.
    pub problem: Option<String>,
    /// When its data goes, if the bot was taken out.
    pub delete_after: Option<DateTime<Utc>>,
    /// Why its questions are not answered, if an operator suspended it.
    pub suspended_reason: Option<String>,
    /// Its share of the places in the queue.
    pub weight: i32,
    /// Questions that ended within a day.
    pub questions_day: i64,
    /// Within a week.
    pub questions_week: i64,
    /// Events that were given up.
    pub dead_letters: i64,
}

/// Tenants whose name or id has `search` in it, by name: so many, behind the first `skip`.
pub async fn list_tenants(
    tx: &mut Tx,
    search: Option<&str>,
    skip: i64,
    limit: i64,
) -> Result<Vec<TenantSummary>, DbError> {
    // Only what is shown is counted.
    Ok(sqlx::query_as!(
        TenantSummary,
        r#"with page as (
               select * from tenants
               where $1::text is null or strpos(lower(name), lower($1)) > 0 or strpos(lower(tenant_id), lower($1)) > 0
               order by lower(name), tenant_id offset $2 limit $3
           )
           select page.tenant_id, name, created_at, installed_at as "installed_at?", disabled_reason, problem,
                  delete_after, suspended_reason, weight, asked.day as "questions_day!",
                  asked.week as "questions_week!", failed.count as "dead_letters!"
           from page left join installations on installations.tenant_id = page.tenant_id
           cross join lateral (
               select count(*) filter (where finished_at > now() - interval '1 day') as day, count(*) as week
               from (select finished_at from events
                     where tenant_id = page.tenant_id and outcome is not null and kind = 'message'
                     union all
                     select finished_at from event_history
                     where tenant_id = page.tenant_id and kind = 'message'
                       and received_at > now() - interval '8 days') as ended
               where finished_at > now() - interval '7 days') as asked
           cross join lateral (
               select count(*) from events where tenant_id = page.tenant_id and outcome = 'set_aside') as failed
           order by lower(name), page.tenant_id"#,
        search,
        skip,
        limit,
    )
    .fetch_all(tx)
    .await?)
}

/// A tenant by itself.
#[derive(Clone, Debug)]
pub struct TenantDetails {
    /// The tenant.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: String,
    /// When it came first.
    pub created_at: DateTime<Utc>,
    /// The app that is installed.
    pub app_id: Option<String>,
    /// Who installed it.
    pub installed_by: Option<String>,
    /// When it was installed last; `None` once it is not.
    pub installed_at: Option<DateTime<Utc>>,
    /// What was granted.
    pub scopes: Option<String>,
    /// When the token ends, if it does.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// Why the token is dead, if it is.
    pub disabled_reason: Option<String>,
    /// What Slack last refused for how the app is set up.
    pub problem: Option<String>,
    /// When it did.
    pub problem_at: Option<DateTime<Utc>>,
    /// When its data goes, if the bot was taken out.
    pub delete_after: Option<DateTime<Utc>>,
    /// Since when its questions are not answered.
    pub suspended_at: Option<DateTime<Utc>>,
    /// Why.
    pub suspended_reason: Option<String>,
    /// Its share of the places in the queue.
    pub weight: i32,
    /// People whom the bot knows.
    pub people: i64,
    /// Tokens of the model within 30 days, in and out.
    pub tokens_month: i64,
    /// Entries of its audit log.
    pub audit_entries: i64,
}

/// Looks at one tenant; the token stays sealed.
pub async fn find_tenant(tx: &mut Tx, tenant_id: &TenantId) -> Result<Option<TenantDetails>, DbError> {
    Ok(sqlx::query_as!(
        TenantDetails,
        r#"select t.tenant_id, t.name, t.created_at, app_id as "app_id?", installed_by as "installed_by?",
                  installed_at as "installed_at?", scopes as "scopes?", token_expires_at, disabled_reason, problem,
                  problem_at, delete_after, suspended_at, suspended_reason, weight,
                  (select count(*) from people p where p.tenant_id = t.tenant_id) as "people!",
                  (select coalesce(sum(prompt_tokens + completion_tokens), 0)::bigint from usage u
                   where u.tenant_id = t.tenant_id and u.created_at > now() - interval '30 days') as "tokens_month!",
                  coalesce((select entry_count - retired_place from audit_chains c where c.tenant_id = t.tenant_id), 0)
                      as "audit_entries!"
           from tenants t left join installations i on i.tenant_id = t.tenant_id where t.tenant_id = $1"#,
        tenant_id.as_str(),
    )
    .fetch_optional(tx)
    .await?)
}

/// How many there are of each kind.
#[derive(Clone, Debug)]
pub struct TenantCounts {
    /// Tenants.
    pub tenants: i64,
    /// With the bot installed.
    pub installed: i64,
    /// Whose token is dead.
    pub disabled: i64,
    /// Whose questions are not answered.
    pub suspended: i64,
    /// Events that were given up.
    pub dead_letters: i64,
}

/// Counts all tenants.
pub async fn count_tenants(tx: &mut Tx) -> Result<TenantCounts, DbError> {
    Ok(sqlx::query_as!(
        TenantCounts,
        r#"select count(*) as "tenants!", count(installed_at) as "installed!", count(disabled_at) as "disabled!",
                  count(suspended_at) as "suspended!",
                  (select count(*) from events where outcome = 'set_aside') as "dead_letters!"
           from tenants left join installations using (tenant_id)"#
    )
    .fetch_one(tx)
    .await?)
}

/// A part of the time over which tenants came and went.
#[derive(Clone, Debug)]
pub struct TenantGrowth {
    /// Where it begins.
    pub begins_at: DateTime<Utc>,
    /// Installs in it, those that were not the first too.
    pub installs: i64,
    /// Tenants at its end.
    pub tenants: i64,
}

/// The last so many days in steps of so many, oldest first. It is read from the audit log, which outlives the tenants.
pub async fn list_growth(tx: &mut Tx, days: i32, step: i32) -> Result<Vec<TenantGrowth>, DbError> {
    Ok(sqlx::query_as!(
        TenantGrowth,
        r#"with entries as (
               select created_at, action,
                      lag(action) over (partition by tenant_id order by place) as before
               from audit_log where action in ('installed', 'deleted')
           ), steps as (
               select created_at, (action = 'installed')::int as installs,
                      case when action = 'installed' and before is distinct from 'installed' then 1
                           when action = 'deleted' and before = 'installed' then -1 else 0 end as tenants
               from entries
           ), bars as (
               select generate_series(now() - make_interval(days => $1), now() - make_interval(days => $2),
                                      make_interval(days => $2)) as begins_at
           )
           select begins_at as "begins_at!",
                  (select coalesce(sum(installs), 0) from steps
                   where created_at > begins_at and created_at <= begins_at + make_interval(days => $2))
                      as "installs!",
                  (select coalesce(sum(tenants), 0) from steps
                   where created_at <= begins_at + make_interval(days => $2)) as "tenants!"
           from bars order by begins_at"#,
        days,
        step,
    )
    .fetch_all(tx)
    .await?)
}
