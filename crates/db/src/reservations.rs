//! The table `reservations`: money that is held for answers in work. Whoever reserves locks the workspace's settings, so that
//! one after the other sees what is spent and held; whoever books gives back in the same statement (`usage`), and needs no
//! lock for that: in every view of it the money is either held or spent.

use models::{TenantId, Usage, UserId};

use crate::{DbError, Tx, replies};

/// What is known of a question before money is held for its next call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charged {
    /// What earlier calls for it have cost, and what one that nobody came back from has at least.
    pub charged_micros: i64,
}

/// Makes others of the workspace wait who want to reserve, until this transaction ends; `None` where nothing is set. What a
/// call cost at least that a dead process has left is charged.
pub async fn lock_budget(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<Option<Charged>, DbError> {
    let found = sqlx::query!(
        r#"select r.model as "model?", coalesce(r.prompt_tokens, 0) as "prompt_tokens!",
                  coalesce(r.prompt_micros, 0) as "prompt_micros!", coalesce(p.cost_micros, 0) as "charged!"
           from settings s
           left join reservations r on r.tenant_id = s.tenant_id and r.seq = $2
           left join replies p on p.tenant_id = s.tenant_id and p.seq = $2
           where s.tenant_id = $1 for update of s"#,
        tenant_id.as_str(),
        seq,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let Some(model) = found.model else { return Ok(Some(Charged { charged_micros: found.charged })) };
    let usage = Usage { model, prompt_tokens: found.prompt_tokens, completion_tokens: 0 };
    replies::add_usage(tx, tenant_id, seq, &usage, found.prompt_micros).await?;
    Ok(Some(Charged { charged_micros: found.charged + found.prompt_micros }))
}

/// What a workspace and one of its people have spent and hold beside a question, in millionths of a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetUsage {
    /// Spent since the month began in UTC.
    pub month_spent: i64,
    /// Held for other answers.
    pub month_reserved: i64,
    /// Spent by the person since the day began in UTC.
    pub day_spent: i64,
    /// Held for other answers of theirs.
    pub day_reserved: i64,
}

/// Looks at what is spent and held, in one view.
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

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Reservation<'a> {
    /// Whose question it is.
    pub user_id: &'a UserId,
    /// What all calls for the question cost, this one at its worst.
    pub cost_micros: i64,
    /// What this one has cost at least once it was made.
    pub min_usage: &'a Usage,
    /// That in millionths of a dollar.
    pub min_cost_micros: i64,
    /// Seconds after which nobody comes back from it; `None`: the event is tried again until it ends.
    pub expires_after: Option<f64>,
}

/// Holds money for a question's next call, in place of what is held for it already.
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

/// The call ended and is charged: only what calls have cost so far stays held.
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

/// Gives back what is held for a question for which the model did nothing.
pub async fn release(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<(), DbError> {
    sqlx::query!("delete from reservations where tenant_id = $1 and seq = $2", tenant_id.as_str(), seq)
        .execute(tx)
        .await?;
    Ok(())
}

/// What a workspace holds, in millionths of a dollar.
pub async fn reserved_total(tx: &mut Tx, tenant_id: &TenantId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(sum(cost_micros), 0)::bigint as "held!" from reservations where tenant_id = $1"#,
        tenant_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// Books the questions of programs from whose calls nobody came back, at what they cost at least; how many.
pub async fn charge_expired(tx: &mut Tx) -> Result<u64, DbError> {
    let booked = sqlx::query!(
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
    Ok(booked.rows_affected())
}
