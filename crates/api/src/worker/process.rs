//! Answers a thread's events in order, and decides what follows from a failure.

use std::time::{Duration, Instant};

use db::DbError;
use db::deferrals::Deferral;
use db::threads::{Job, Lease};
use db::usage::UsageOutcome;
use models::EventOutcome;
use tracing::Instrument;

use super::leases::LeaseHandle;
use super::rate_limited;
use crate::inbox::count_outcome;
use crate::job_error::{JobError, RETRIES_EXHAUSTED_TEXT};
use crate::state::ApiState;
use crate::{job_context, trace_spans};

/// Tries of one event. With the pauses between them they last for more than a minute.
const MAX_ATTEMPTS: i32 = 8;

/// The longest pause between two tries, unless Slack asks for a longer one.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(20);

/// For how long tries that an upstream held back do not count; a place that is never free is given up some time.
const MAX_THROTTLED_TIME: Duration = Duration::from_secs(15 * 60);

/// Works until the thread has no more events that are due, or the lease is lost.
pub(super) async fn process_thread(app: &ApiState, held: &LeaseHandle) {
    loop {
        match next_event(app, &held.lease).await {
            Ok(Some(job)) => {
                let worked = held.lost.run_until_cancelled(process_event(app, held, &job)).await;
                match worked {
                    // The thread is gone with everything else of the tenant.
                    Some(Ok(Some(EventOutcome::NotInstalled))) => return,
                    Some(Ok(Some(EventOutcome::Uninstalled))) if app.uninstall_grace_days == 0 => return,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return log_abandoned(&held.lease, &error),
                    None => return log_abandoned(&held.lease, &DbError::LeaseLost),
                }
            }
            Ok(None) => return,
            Err(error) => return log_abandoned(&held.lease, &error),
        }
    }
}

/// Whoever takes the thread over begins with the event that was left.
fn log_abandoned(lease: &Lease, error: &DbError) {
    tracing::warn!(tenant_id = %lease.tenant_id, error = %error, "a thread was left to another worker");
}

async fn next_event(app: &ApiState, lease: &Lease) -> Result<Option<Job>, DbError> {
    let mut tx = app.db.begin(&lease.tenant_id).await?;
    let job = db::threads::next_event(&mut tx, lease).await?;
    tx.commit().await?;
    Ok(job)
}

/// The outcome, or `None` where there will be another try.
async fn process_event(
    app: &ApiState,
    held: &LeaseHandle,
    job: &Job,
) -> Result<Option<EventOutcome>, DbError> {
    let begun = Instant::now();
    let span = tracing::info_span!(
        "work",
        tenant_id = %job.tenant_id,
        user_id = %job.user_id,
        event_id = %job.event_id
    );
    let stoppable = held.register_stop(job.seq);
    let (body, traceparent) = match job_context::open_body(app, job).await {
        Ok((body, traceparent)) => (Ok(body), traceparent),
        Err(error) => (Err(error), None),
    };
    let exported = trace_spans::job(job, body.as_ref().ok());
    service::set_remote_parent(&exported, traceparent.as_deref());
    let worked = async {
        trace_spans::emit_claim(job);
        let result = job_context::run_job(app, held, job, body, &stoppable.stop_token).await;
        let duration_ms = begun.elapsed().as_millis() as u64;
        match result {
            Ok(outcome) => {
                count_outcome(outcome, 1);
                if outcome == EventOutcome::Answered {
                    metrics::histogram!("enablebot_reply_seconds").record(begun.elapsed().as_secs_f64());
                }
                tracing::info!(duration_ms, "{} at try {}", outcome.as_str(), job.attempt);
                Ok(Some(outcome))
            }
            Err(failure) => handle_failure(app, held, job, failure, duration_ms).await,
        }
    };
    let worked = worked.instrument(span).instrument(exported.clone()).await;
    match &worked {
        Ok(ended) => {
            exported.record("outcome", ended.map_or("put_off", EventOutcome::as_str));
            if *ended == Some(EventOutcome::DeadLettered) {
                trace_spans::set_error(&exported);
            }
        }
        Err(_) => trace_spans::set_error(&exported),
    }
    worked
}

/// What a failure comes to: set aside, or `None` where there will be another try.
async fn handle_failure(
    app: &ApiState,
    held: &LeaseHandle,
    job: &Job,
    failure: JobError,
    duration_ms: u64,
) -> Result<Option<EventOutcome>, DbError> {
    let lease = &held.lease;
    match failure {
        JobError::LeaseLost => Err(DbError::LeaseLost),
        JobError::RateLimited { after } => {
            rate_limited::defer_rate_limited(app, lease, job, after).await.map(|()| None)
        }
        JobError::Throttled { reason, after } if job.throttled_for < MAX_THROTTLED_TIME => {
            let pause = after.max(retry_pause(1));
            tracing::info!(duration_ms, error = reason, "held back, next try in {pause:?}");
            defer_event(
                app,
                lease,
                job,
                Deferral { delay: pause, is_attempt_counted: false, reason: &reason },
            )
            .await
        }
        JobError::Throttled { reason, after } => {
            let failure = JobError::Retry { reason, after: Some(after) };
            Box::pin(handle_failure(app, held, job, failure, duration_ms)).await
        }
        JobError::Retry { reason, after } if job.attempt < MAX_ATTEMPTS => {
            let pause = retry_pause(job.attempt).max(after.unwrap_or_default());
            tracing::warn!(duration_ms, error = reason, "try {} failed, next in {pause:?}", job.attempt);
            defer_event(app, lease, job, Deferral { delay: pause, is_attempt_counted: true, reason: &reason })
                .await
        }
        JobError::Retry { reason, .. } => {
            dead_letter_event(app, held, job, &reason, Some(RETRIES_EXHAUSTED_TEXT)).await
        }
        // What answers a message says so itself, and ends it.
        JobError::OverBudget(refusal) => dead_letter_event(app, held, job, refusal.reason(), None).await,
        JobError::Fatal { reason, notice: sentence } => {
            dead_letter_event(app, held, job, &reason, sentence).await
        }
        JobError::Slack(error) => dead_letter_event(app, held, job, &error.to_string(), None).await,
    }
}

/// One second, then twice as long each time, and a part of it by chance, so that what failed together does not come
/// back together.
fn retry_pause(attempt: i32) -> Duration {
    let doubled = Duration::from_secs(1 << (attempt - 1).clamp(0, 10));
    doubled.min(MAX_RETRY_PAUSE).mul_f64(1.0 + rand::random::<f64>() / 4.0)
}

async fn defer_event(
    app: &ApiState,
    lease: &Lease,
    job: &Job,
    put_off: Deferral<'_>,
) -> Result<Option<EventOutcome>, DbError> {
    let mut tx = app.db.begin(&lease.tenant_id).await?;
    db::threads::assert_lease(&mut tx, lease).await?;
    db::events::record_failure(&mut tx, &job.tenant_id, job.seq, job.attempt, put_off.reason).await?;
    db::deferrals::defer(&mut tx, &job.tenant_id, job.seq, put_off).await?;
    tx.commit().await?;
    Ok(None)
}

/// The person is told first: if that fails too, the event still ends, with its reason.
async fn dead_letter_event(
    app: &ApiState,
    held: &LeaseHandle,
    job: &Job,
    reason: &str,
    sentence: Option<&'static str>,
) -> Result<Option<EventOutcome>, DbError> {
    tracing::error!(error = reason, "set aside at try {}", job.attempt);
    if let Err(failure) = job_context::send_failure_notice(app, held, job, sentence).await {
        tracing::warn!(error = ?failure, "the person could not be told");
    }
    let mut tx = app.db.begin(&held.lease.tenant_id).await?;
    db::threads::assert_lease(&mut tx, &held.lease).await?;
    db::events::record_failure(&mut tx, &job.tenant_id, job.seq, job.attempt, reason).await?;
    if job.message_ts.is_some() {
        let end = UsageOutcome {
            outcome: EventOutcome::DeadLettered,
            reason: Some(reason),
            since_first_token: None,
        };
        db::usage::record(&mut tx, &job.tenant_id, job.seq, end).await?;
    }
    db::events::finish(&mut tx, &job.tenant_id, job.seq, EventOutcome::DeadLettered, Some(reason)).await?;
    // It may have come just while the tenant was deleted.
    db::tenants::delete_orphans(&mut tx, &job.tenant_id).await?;
    let detail = serde_json::json!({ "event_id": job.event_id, "reason": reason });
    db::audit_log::insert(
        &mut tx,
        &job.tenant_id,
        "enablebot",
        db::audit_log::AuditAction::DeadLettered,
        detail,
    )
    .await?;
    tx.commit().await?;
    count_outcome(EventOutcome::DeadLettered, 1);
    Ok(Some(EventOutcome::DeadLettered))
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
