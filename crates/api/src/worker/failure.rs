//! The consequences of a failed try: the event is deferred, or dead-lettered.

use std::time::Duration;

use db::DbError;
use db::audit_log::AuditAction;
use db::deferrals::Deferral;
use db::threads::{Job, Lease};
use db::usage::UsageOutcome;
use models::EventOutcome;
use serde_json::json;

use super::rate_limited::defer_rate_limited;
use crate::app_metrics::count_outcome;
use crate::job::context::begin_fenced;
use crate::job::dispatch::send_failure_notice;
use crate::job::error::{JobError, RETRIES_EXHAUSTED_TEXT};
use crate::lease::LeaseHandle;
use crate::state::ApiState;

/// Tries of one event. With the pauses between them they last for more than a minute.
const MAX_ATTEMPTS: i32 = 8;

/// The longest pause between two tries, unless Slack asks for a longer one.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(20);

/// The time for which throttled tries do not count. An upstream that never has capacity must not retry an
/// event forever.
const MAX_THROTTLED_TIME: Duration = Duration::from_secs(15 * 60);

/// Defers or dead-letters the event. Returns `None` if there will be another try.
pub(super) async fn handle_failure(
    state: &ApiState,
    lease: &LeaseHandle,
    job: &Job,
    error: JobError,
    duration_ms: u64,
) -> Result<Option<EventOutcome>, DbError> {
    let (reason, after, notice) = match error {
        JobError::LeaseLost => return Err(DbError::LeaseLost),
        JobError::RateLimited { after } => {
            return defer_rate_limited(state, &lease.lease, job, after).await.map(|()| None);
        }
        JobError::Throttled { reason, after } if job.throttled_for < MAX_THROTTLED_TIME => {
            let delay = after.max(retry_pause(1));
            tracing::info!(duration_ms, error = reason, "throttled, next try in {delay:?}");
            let deferral = Deferral { delay, is_attempt_counted: false, reason: &reason };
            return defer_event(state, &lease.lease, job, deferral).await;
        }
        JobError::Throttled { reason, after } => (reason, Some(after), Some(RETRIES_EXHAUSTED_TEXT)),
        JobError::Retry { reason, after } => (reason, after, Some(RETRIES_EXHAUSTED_TEXT)),
        // The reply has already posted the notice and ended the message.
        JobError::OverBudget(denied) => {
            return dead_letter_event(state, lease, job, denied.reason(), None).await;
        }
        JobError::Fatal { reason, notice } => {
            return dead_letter_event(state, lease, job, &reason, notice).await;
        }
        JobError::Slack(error) => {
            return dead_letter_event(state, lease, job, &error.to_string(), None).await;
        }
    };
    if job.attempt >= MAX_ATTEMPTS {
        return dead_letter_event(state, lease, job, &reason, notice).await;
    }
    let delay = retry_pause(job.attempt).max(after.unwrap_or_default());
    tracing::warn!(duration_ms, error = reason, "try {} failed, next in {delay:?}", job.attempt);
    let deferral = Deferral { delay, is_attempt_counted: true, reason: &reason };
    defer_event(state, &lease.lease, job, deferral).await
}

/// Returns one second for the first try and doubles it for each further one. A random part keeps events that
/// failed together from being retried together.
fn retry_pause(attempt: i32) -> Duration {
    let doubled = Duration::from_secs(1 << (attempt - 1).clamp(0, 10));
    doubled.min(MAX_RETRY_PAUSE).mul_f64(1.0 + rand::random::<f64>() / 4.0)
}

async fn defer_event(
    state: &ApiState,
    lease: &Lease,
    job: &Job,
    deferral: Deferral<'_>,
) -> Result<Option<EventOutcome>, DbError> {
    let mut tx = begin_fenced(&state.db, lease).await?;
    db::events::record_failure(&mut tx, &job.tenant_id, job.seq, job.attempt, deferral.reason).await?;
    db::deferrals::defer(&mut tx, &job.tenant_id, job.seq, deferral).await?;
    tx.commit().await?;
    Ok(None)
}

/// Ends the event with its reason. The person is notified first. If that fails too, the event still
/// ends.
async fn dead_letter_event(
    state: &ApiState,
    lease: &LeaseHandle,
    job: &Job,
    reason: &str,
    notice: Option<&'static str>,
) -> Result<Option<EventOutcome>, DbError> {
    tracing::error!(error = reason, "dead-lettered at try {}", job.attempt);
    if let Err(error) = send_failure_notice(state, lease, job, notice).await {
        tracing::warn!(error = ?error, "failure notice not posted");
    }
    let (tenant_id, outcome) = (&job.tenant_id, EventOutcome::DeadLettered);
    let mut tx = begin_fenced(&state.db, &lease.lease).await?;
    db::events::record_failure(&mut tx, tenant_id, job.seq, job.attempt, reason).await?;
    if job.message_ts.is_some() {
        let ended = UsageOutcome { outcome, reason: Some(reason), since_first_token: None };
        db::usage::record(&mut tx, tenant_id, job.seq, ended).await?;
    }
    db::events::finish(&mut tx, tenant_id, job.seq, outcome, Some(reason)).await?;
    // The event may have arrived just while the tenant was deleted.
    db::tenants::delete_orphans(&mut tx, tenant_id).await?;
    let detail = json!({ "event_id": job.event_id, "reason": reason });
    db::audit_log::insert(&mut tx, tenant_id, "enablebot", AuditAction::DeadLettered, detail).await?;
    tx.commit().await?;
    count_outcome(outcome, 1);
    Ok(Some(outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_span_at_least_one_minute() {
        let pauses: Duration = (1..MAX_ATTEMPTS).map(retry_pause).sum();
        assert!((60..=90).contains(&pauses.as_secs()), "{pauses:?}");
    }
}
