//! Processes a thread's events in order.

use std::time::Instant;

use db::DbError;
use db::threads::{Job, Lease};
use models::{EventOutcome, EventPayload};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::failure::handle_failure;
use crate::app_metrics::count_outcome;
use crate::job::dispatch::{open_payload, run_job};
use crate::lease::LeaseHandle;
use crate::state::ApiState;
use crate::trace_spans;

/// Processes events until the thread has no more that are due, or the lease is lost.
pub(super) async fn process_thread(state: &ApiState, lease: &LeaseHandle) {
    loop {
        match next_event(state, &lease.lease).await {
            Ok(Some(job)) => {
                let processed = lease.lost.run_until_cancelled(process_event(state, lease, &job)).await;
                match processed {
                    // The thread was deleted with the tenant.
                    Some(Ok(Some(EventOutcome::NotInstalled))) => return,
                    Some(Ok(Some(EventOutcome::Uninstalled))) if state.uninstall_grace_days == 0 => return,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return log_abandoned(&lease.lease, &error),
                    None => return log_abandoned(&lease.lease, &DbError::LeaseLost),
                }
            }
            Ok(None) => return,
            Err(error) => return log_abandoned(&lease.lease, &error),
        }
    }
}

/// The worker that takes the thread over begins with the event that was left.
fn log_abandoned(lease: &Lease, error: &DbError) {
    tracing::warn!(tenant_id = %lease.tenant_id, error = %error, "thread abandoned to another worker");
}

async fn next_event(state: &ApiState, lease: &Lease) -> Result<Option<Job>, DbError> {
    let mut tx = state.db.begin(&lease.tenant_id).await?;
    let job = db::threads::next_event(&mut tx, lease).await?;
    tx.commit().await?;
    Ok(job)
}

/// Processes an event in its trace. Returns the outcome, or `None` if there will be another try.
async fn process_event(
    state: &ApiState,
    lease: &LeaseHandle,
    job: &Job,
) -> Result<Option<EventOutcome>, DbError> {
    let log_span = tracing::info_span!(
        "work",
        tenant_id = %job.tenant_id,
        user_id = %job.user_id,
        event_id = %job.event_id
    );
    let started = Instant::now();
    let registration = lease.register_stop(job.seq);
    let (payload, traceparent) = match open_payload(state, job).await {
        Ok((payload, traceparent)) => (Ok(payload), traceparent),
        Err(error) => (Err(error), None),
    };
    let span = trace_spans::job(job, payload.as_ref().ok());
    service::set_remote_parent(&span, traceparent.as_deref());
    let processed = try_event(state, lease, job, payload, &registration.stop, started);
    let processed = processed.instrument(log_span).instrument(span.clone()).await;
    match &processed {
        Ok(outcome) => {
            span.record("outcome", outcome.map_or("put_off", EventOutcome::as_str));
            if *outcome == Some(EventOutcome::DeadLettered) {
                trace_spans::set_error(&span);
            }
        }
        Err(_) => trace_spans::set_error(&span),
    }
    processed
}

async fn try_event(
    state: &ApiState,
    lease: &LeaseHandle,
    job: &Job,
    payload: Result<EventPayload, DbError>,
    stop: &CancellationToken,
    started: Instant,
) -> Result<Option<EventOutcome>, DbError> {
    trace_spans::emit_claim(job);
    let result = run_job(state, lease, job, payload, stop).await;
    let duration_ms = started.elapsed().as_millis() as u64;
    match result {
        Ok(outcome) => {
            count_outcome(outcome, 1);
            if outcome == EventOutcome::Answered {
                metrics::histogram!("enablebot_reply_seconds").record(started.elapsed().as_secs_f64());
            }
            tracing::info!(duration_ms, "{} at try {}", outcome.as_str(), job.attempt);
            Ok(Some(outcome))
        }
        Err(error) => handle_failure(state, lease, job, error, duration_ms).await,
    }
}
