//! Queries of operators over all tenants: who uses the bot, what is queued, what failed. Only operators may
//! run these; queries about one tenant take its id and are in the files of the tables.

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

/// A tenant in the list of all tenants.
#[derive(Clone, Debug)]
pub struct TenantSummary {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Name for people.
    pub name: String,
    /// Time of the first install.
    pub created_at: DateTime<Utc>,
    /// Time of the last install; `None` if it is not installed.
    pub installed_at: Option<DateTime<Utc>>,
    /// Reason why the token is dead, if it is.
    pub disabled_reason: Option<String>,
    /// Last configuration problem of the app that Slack reported.
    pub problem: Option<String>,
    /// Time at which its data will be deleted, if the bot was removed.
    pub delete_after: Option<DateTime<Utc>>,
    /// Reason given by the operator who suspended it, if it is suspended.
    pub suspended_reason: Option<String>,
    /// Its weight in the queue.
    pub weight: i32,
    /// Questions finished within a day.
    pub questions_day: i64,
    /// Questions finished within a week.
    pub questions_week: i64,
    /// Number of dead letters.
    pub dead_letters: i64,
}

/// Lists tenants whose name or id contains `search`, by name: at most `limit`, after skipping `skip`.
pub async fn list_tenants(
    tx: &mut Tx,
    search: Option<&str>,
    skip: i64,
    limit: i64,
) -> Result<Vec<TenantSummary>, DbError> {
    // Counts are computed only for the tenants on this page.
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

/// Details of one tenant.
#[derive(Clone, Debug)]
pub struct TenantDetails {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Name for people.
    pub name: String,
    /// Time of the first install.
    pub created_at: DateTime<Utc>,
    /// Id of the installed app.
    pub app_id: Option<String>,
    /// User who installed it.
    pub installed_by: Option<String>,
    /// Time of the last install; `None` if it is not installed.
    pub installed_at: Option<DateTime<Utc>>,
    /// Granted scopes.
    pub scopes: Option<String>,
    /// Expiry of the token, if it expires.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// Reason why the token is dead, if it is.
    pub disabled_reason: Option<String>,
    /// Last configuration problem of the app that Slack reported.
    pub problem: Option<String>,
    /// Time of that problem.
    pub problem_at: Option<DateTime<Utc>>,
    /// Time at which its data will be deleted, if the bot was removed.
    pub delete_after: Option<DateTime<Utc>>,
    /// Time at which it was suspended, if it is suspended.
    pub suspended_at: Option<DateTime<Utc>>,
    /// Reason of the suspension.
    pub suspended_reason: Option<String>,
    /// Its weight in the queue.
    pub weight: i32,
    /// People known to the bot.
    pub people: i64,
    /// Model tokens within 30 days, prompt and completion.
    pub tokens_month: i64,
    /// Entries of its audit log.
    pub audit_entries: i64,
}

/// Returns the details of one tenant. The token is not decrypted.
pub async fn find_tenant(tx: &mut Tx, tenant_id: &TenantId) -> Result<Option<TenantDetails>, DbError> {
    Ok(sqlx::query_as!(
        TenantDetails,
        r#"select t.tenant_id, t.name, t.created_at, app_id as "app_id?", installed_by as "installed_by?",
                  installed_at as "installed_at?", scopes as "scopes?", token_expires_at, disabled_reason, problem,
                  problem_at, delete_after, suspended_at, suspended_reason, weight,
                  (select count(*) from people p where p.tenant_id = t.tenant_id) as "people!",
                  (select coalesce(sum(prompt_tokens + completion_tokens), 0)::bigint from usage u
                   where u.tenant_id = t.tenant_id and u.created_at > now() - interval '30 days') as "tokens_month!",
                  coalesce((select entry_count - purged_index from audit_chains c where c.tenant_id = t.tenant_id), 0)
                      as "audit_entries!"
           from tenants t left join installations i on i.tenant_id = t.tenant_id where t.tenant_id = $1"#,
        tenant_id.as_str(),
    )
    .fetch_optional(tx)
    .await?)
}

/// Numbers of tenants by state.
#[derive(Clone, Debug)]
pub struct TenantCounts {
    /// All tenants.
    pub tenants: i64,
    /// Tenants with the bot installed.
    pub installed: i64,
    /// Tenants whose token is dead.
    pub disabled: i64,
    /// Suspended tenants.
    pub suspended: i64,
    /// Number of dead letters.
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

/// Growth of the tenants in one step of time.
#[derive(Clone, Debug)]
pub struct TenantGrowth {
    /// Start of the step.
    pub begins_at: DateTime<Utc>,
    /// Installs in the step, including reinstalls.
    pub installs: i64,
    /// Tenants at the end of the step.
    pub tenants: i64,
}

/// Returns the growth over the last `days` days in steps of `step` days, oldest first. It is computed from
/// the audit log, which outlives the tenants.
pub async fn list_growth(tx: &mut Tx, days: i32, step: i32) -> Result<Vec<TenantGrowth>, DbError> {
    Ok(sqlx::query_as!(
        TenantGrowth,
        r#"with entries as (
               select created_at, action,
                      lag(action) over (partition by tenant_id order by chain_index) as before
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
