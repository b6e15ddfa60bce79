//! The table `reservations`: money held for replies in progress. A reservation locks the workspace's
//! settings, so that reservations run one after the other and each sees what is spent and held. A charge
//! releases the reservation in the same statement (`usage`) and needs no lock: every snapshot shows the money
//! either as held or as spent.

use models::{TenantId, Usage, UserId};

use crate::{DbError, Tx, replies};

/// Earlier charges of a question, read before money is held for its next call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charged {
    /// Cost of earlier calls for it, including the minimum cost of a call whose process died.
    pub charged_micros: i64,
}

/// Locks the workspace's budget until the end of this transaction, so that other reservations wait; `None` if
/// there is no such workspace. Charges the minimum cost of a call whose process died.
pub async fn lock_budget(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<Option<Charged>, DbError> {
    let found = match lock_settings(tx, tenant_id, seq).await? {
        Some(found) => Some(found),
        None => lock_tenant(tx, tenant_id, seq).await?,
    };
    let Some(found) = found else { return Ok(None) };
    let Some(model) = found.model else { return Ok(Some(Charged { charged_micros: found.charged })) };
    let usage = Usage { model, prompt_tokens: found.prompt_tokens, completion_tokens: 0 };
    replies::add_usage(tx, tenant_id, seq, &usage, found.prompt_micros).await?;
    Ok(Some(Charged { charged_micros: found.charged + found.prompt_micros }))
}

/// The earlier charges of a question, and its reservation that a dead process left.
struct EarlierCharge {
    model: Option<String>,
    prompt_tokens: i64,
    prompt_micros: i64,
    charged: i64,
}

async fn lock_settings(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
) -> Result<Option<EarlierCharge>, DbError> {
    Ok(sqlx::query_as!(
        EarlierCharge,
        r#"select r.model as "model?", coalesce(r.prompt_tokens, 0) as "prompt_tokens!",
                  coalesce(r.prompt_micros, 0) as "prompt_micros!", coalesce(p.cost_micros, 0) as "charged!"
           from settings s
           left join reservations r on r.tenant_id = s.tenant_id and r.seq = $2
           left join replies p on p.tenant_id = s.tenant_id and p.seq = $2
           where s.tenant_id = $1 for update of s"#,
        tenant_id.as_str(),
        seq,
    )
    .fetch_optional(tx)
    .await?)
}

/// Locks a workspace without settings, which has the operator's budget. Who stores its first settings locks
/// the workspace too, so no two reservations hold different locks.
async fn lock_tenant(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<Option<EarlierCharge>, DbError> {
    Ok(sqlx::query_as!(
        EarlierCharge,
        r#"select r.model as "model?", coalesce(r.prompt_tokens, 0) as "prompt_tokens!",
                  coalesce(r.prompt_micros, 0) as "prompt_micros!", coalesce(p.cost_micros, 0) as "charged!"
           from tenants t
           left join reservations r on r.tenant_id = t.tenant_id and r.seq = $2
           left join replies p on p.tenant_id = t.tenant_id and p.seq = $2
           where t.tenant_id = $1 for no key update of t"#,
        tenant_id.as_str(),
        seq,
    )
    .fetch_optional(tx)
    .await?)
}

/// Money spent and held by a workspace and one of its people, apart from the current question, in millionths
/// of a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetUsage {
    /// Spent since the start of the month in UTC.
    pub month_spent: i64,
    /// Held for other replies.
    pub month_reserved: i64,
    /// Spent by the person since the start of the day in UTC.
    pub day_spent: i64,
    /// Held for other replies to the person.
    pub day_reserved: i64,
}

/// Returns the money spent and held, in one snapshot.
pub async fn load_budget_usage(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    user_id: &UserId,
) -> Result<BudgetUsage, DbError> {
    Ok(sqlx::query_as!(
        BudgetUsage,
        r#"select (select coalesce(sum(cost_micros), 0)::bigint from usage
                   where tenant_id = $1 and seq <> $2
                     and created_at >= date_trunc('month', now() at time zone 'UTC') at time zone 'UTC')
                      as "month_spent!",
                  (select coalesce(sum(cost_micros), 0)::bigint from reservations
                   where tenant_id = $1 and seq <> $2) as "month_reserved!",
                  (select coalesce(sum(cost_micros), 0)::bigint from usage
                   where tenant_id = $1 and user_id = $3 and seq <> $2
                     and created_at >= date_trunc('day', now() at time zone 'UTC') at time zone 'UTC')
                      as "day_spent!",
                  (select coalesce(sum(cost_micros), 0)::bigint from reservations
                   where tenant_id = $1 and user_id = $3 and seq <> $2) as "day_reserved!""#,
        tenant_id.as_str(),
        seq,
        user_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// A reservation for the next call.
#[derive(Clone, Copy, Debug)]
pub struct Reservation<'a> {
    /// Person who asked.
    pub user_id: &'a UserId,
    /// Cost of all calls for the question, with the worst case for the next one.
    pub cost_micros: i64,
    /// Minimum usage of the next call once it is made.
    pub min_usage: &'a Usage,
    /// Cost of that minimum usage, in millionths of a dollar.
    pub min_cost_micros: i64,
    /// Seconds after which the call is considered lost; `None` for an event, which is retried until it
    /// finishes.
    pub expires_after: Option<f64>,
}

/// Holds money for the next call of a question, replacing the amount held for it so far.
pub async fn reserve(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    reservation: Reservation<'_>,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into reservations (seq, tenant_id, user_id, cost_micros, model, prompt_tokens, prompt_micros, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8::float8))
         on conflict (seq) do update set cost_micros = excluded.cost_micros, model = excluded.model,
             prompt_tokens = excluded.prompt_tokens, prompt_micros = excluded.prompt_micros,
             expires_at = excluded.expires_at",
        seq,
        tenant_id.as_str(),
        reservation.user_id.as_str(),
        reservation.cost_micros,
        reservation.min_usage.model,
        reservation.min_usage.prompt_tokens,
        reservation.min_cost_micros,
        reservation.expires_after,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Settles a call that ended and was charged: only the cost of all calls so far stays held.
pub async fn settle_call(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<(), DbError> {
    sqlx::query!(
        "update reservations set model = null, prompt_tokens = 0, prompt_micros = 0, cost_micros = coalesce(
             (select cost_micros from replies where tenant_id = $1 and seq = $2), 0)
         where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Releases the money held for a question that the model did no work for.
pub async fn release(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<(), DbError> {
    sqlx::query!("delete from reservations where tenant_id = $1 and seq = $2", tenant_id.as_str(), seq)
        .execute(tx)
        .await?;
    Ok(())
}

/// Returns the money held by a workspace, in millionths of a dollar.
pub async fn reserved_total(tx: &mut Tx, tenant_id: &TenantId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(sum(cost_micros), 0)::bigint as "held!" from reservations where tenant_id = $1"#,
        tenant_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// Charges expired reservations of API questions at their minimum cost, and returns their number.
pub async fn charge_expired(tx: &mut Tx) -> Result<u64, DbError> {
    let charged = sqlx::query!(
        "with expired as (
             delete from reservations where expires_at < now() returning *
         )
         insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens, cost_micros, outcome, reason,
             source, channel_id)
         select seq, tenant_id, user_id, model, prompt_tokens, 0, prompt_micros, 'stopped', 'broke off', 'api', 'api'
         from expired join tenants using (tenant_id) where model is not null
         on conflict (seq) do nothing",
    )
    .execute(tx)
    .await?;
    Ok(charged.rows_affected())
}
