//! Answers a thread's events in order, and decides what follows from a failure.

use std::time::{Duration, Instant};

use db::DbError;
use db::delays::PutOff;
use db::threads::{Job, Lease};
use db::usage::End;
use models::Outcome;
use tracing::Instrument;

use super::leases::HeldLease;
use super::turns;
use crate::app::App;
use crate::failure::{Failure, OUT_OF_TRIES};
use crate::inbox::count;
use crate::{spans, work};

/// Tries of one event. With the pauses between them they last for more than a minute.
const MAX_ATTEMPTS: i32 = 8;

/// The longest pause between two tries, unless Slack asks for a longer one.
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// For how long tries that an upstream held back do not count; a place that is never free is given up some time.
const THROTTLED: Duration = Duration::from_secs(15 * 60);

/// Works until the thread has no more events that are due, or the lease is lost.
pub(super) async fn drain(app: &App, held: &HeldLease) {
    loop {
        match next_event(app, &held.lease).await {
            Ok(Some(job)) => {
                let worked = held.lost.run_until_cancelled(work_on(app, held, &job)).await;
                match worked {
                    // The thread is gone with everything else of the tenant.
                    Some(Ok(Some(Outcome::NotInstalled))) => return,
                    Some(Ok(Some(Outcome::Uninstalled))) if app.uninstall_grace_days == 0 => return,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return log_left(&held.lease, &error),
                    None => return log_left(&held.lease, &DbError::LeaseLost),
                }
            }
            Ok(None) => return,
            Err(error) => return log_left(&held.lease, &error),
        }
    }
}

/// Whoever takes the thread over begins with the event that was left.
fn log_left(lease: &Lease, error: &DbError) {
    tracing::warn!(tenant_id = %lease.tenant_id, error = %error, "a thread was left to another worker");
}

async fn next_event(app: &App, lease: &Lease) -> Result<Option<Job>, DbError> {
    let mut tx = app.db.begin(&lease.tenant_id).await?;
    let job = db::threads::next_event(&mut tx, lease).await?;
    tx.commit().await?;
    Ok(job)
}

/// The outcome, or `None` where there will be another try.
async fn work_on(app: &App, held: &HeldLease, job: &Job) -> Result<Option<Outcome>, DbError> {
    let begun = Instant::now();
    let span = tracing::info_span!(
        "work",
        tenant_id = %job.tenant_id,
        user_id = %job.user_id,
        event_id = %job.event_id
    );
    let stoppable = held.stoppable(job.seq);
    let (body, traceparent) = match work::open(app, job).await {
        Ok((body, traceparent)) => (Ok(body), traceparent),
        Err(error) => (Err(error), None),
    };
    let exported = spans::work(job, body.as_ref().ok());
    service::go_on(&exported, traceparent.as_deref());
    let worked = async {
        spans::mark_claim(job);
        let result = work::run(app, held, job, body, &stoppable.stop).await;
        let duration_ms = begun.elapsed().as_millis() as u64;
        match result {
            Ok(outcome) => {
                count(outcome, 1);
                if outcome == Outcome::Answered {
                    metrics::histogram!("enablebot_reply_seconds").record(begun.elapsed().as_secs_f64());
                }
                tracing::info!(duration_ms, "{} at try {}", outcome.as_str(), job.attempt);
                Ok(Some(outcome))
            }
            Err(failure) => follow(app, held, job, failure, duration_ms).await,
        }
    };
    let worked = worked.instrument(span).instrument(exported.clone()).await;
    match &worked {
        Ok(ended) => {
            exported.record("outcome", ended.map_or("put_off", Outcome::as_str));
            if *ended == Some(Outcome::SetAside) {
                spans::note_error(&exported);
            }
        }
        Err(_) => spans::note_error(&exported),
    }
    worked
}

/// What a failure comes to: set aside, or `None` where there will be another try.
async fn follow(
    app: &App,
    held: &HeldLease,
    job: &Job,
    failure: Failure,
    duration_ms: u64,
) -> Result<Option<Outcome>, DbError> {
    let lease = &held.lease;
    match failure {
        Failure::LeaseLost => Err(DbError::LeaseLost),
        Failure::NotItsTurn { after } => turns::wait(app, lease, job, after).await.map(|()| None),
        Failure::Throttled { reason, after } if job.throttled_for < THROTTLED => {
            let pause = after.max(pause(1));
            tracing::info!(duration_ms, error = reason, "held back, next try in {pause:?}");
            put_off(app, lease, job, PutOff { pause, counts: false, reason: &reason }).await
        }
        Failure::Throttled { reason, after } => {
            let failure = Failure::Retry { reason, after: Some(after) };
            Box::pin(follow(app, held, job, failure, duration_ms)).await
        }
        Failure::Retry { reason, after } if job.attempt < MAX_ATTEMPTS => {
            let pause = pause(job.attempt).max(after.unwrap_or_default());
            tracing::warn!(duration_ms, error = reason, "try {} failed, next in {pause:?}", job.attempt);
            put_off(app, lease, job, PutOff { pause, counts: true, reason: &reason }).await
        }
        Failure::Retry { reason, .. } => set_aside(app, held, job, &reason, Some(OUT_OF_TRIES)).await,
        // What answers a message says so itself, and ends it.
        Failure::OverBudget(refusal) => set_aside(app, held, job, refusal.reason(), None).await,
        Failure::GiveUp { reason, sentence } => set_aside(app, held, job, &reason, sentence).await,
        Failure::Slack(error) => set_aside(app, held, job, &error.to_string(), None).await,
    }
}

/// One second, then twice as long each time, and a part of it by chance, so that what failed together does not come
/// back together.
fn pause(attempt: i32) -> Duration {
    let doubled = Duration::from_secs(1 << (attempt - 1).clamp(0, 10));
    doubled.min(MAX_PAUSE).mul_f64(1.0 + rand::random::<f64>() / 4.0)
}

async fn put_off(
    app: &App,
    lease: &Lease,
    job: &Job,
    put_off: PutOff<'_>,
) -> Result<Option<Outcome>, DbError> {
    let mut tx = app.db.begin(&lease.tenant_id).await?;
    db::threads::hold(&mut tx, lease).await?;
    db::events::note_failure(&mut tx, &job.tenant_id, job.seq, job.attempt, put_off.reason).await?;
    db::delays::put_off(&mut tx, &job.tenant_id, job.seq, put_off).await?;
    tx.commit().await?;
    Ok(None)
}

/// The person is told first: if that fails too, the event still ends, with its reason.
async fn set_aside(
    app: &App,
    held: &HeldLease,
    job: &Job,
    reason: &str,
    sentence: Option<&'static str>,
) -> Result<Option<Outcome>, DbError> {
    tracing::error!(error = reason, "set aside at try {}", job.attempt);
    if let Err(failure) = work::apologise(app, held, job, sentence).await {
        tracing::warn!(error = ?failure, "the person could not be told");
    }
    let mut tx = app.db.begin(&held.lease.tenant_id).await?;
    db::threads::hold(&mut tx, &held.lease).await?;
    db::events::note_failure(&mut tx, &job.tenant_id, job.seq, job.attempt, reason).await?;
    if job.message_ts.is_some() {
        let end = End { outcome: Outcome::SetAside, reason: Some(reason), since_first_word: None };
        db::usage::note_end(&mut tx, &job.tenant_id, job.seq, end).await?;
    }
    db::events::finish(&mut tx, &job.tenant_id, job.seq, Outcome::SetAside, Some(reason)).await?;
    // It may have come just while the tenant was deleted.
    db::tenants::delete_orphans(&mut tx, &job.tenant_id).await?;
    let detail = serde_json::json!({ "event_id": job.event_id, "reason": reason });
    db::audit_log::insert(&mut tx, &job.tenant_id, "enablebot", db::audit_log::Action::SetAside, detail)
        .await?;
    tx.commit().await?;
    count(Outcome::SetAside, 1);
    Ok(Some(Outcome::SetAside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_down_is_tried_again_for_at_least_a_minute() {
        let pauses: Duration = (1..MAX_ATTEMPTS).map(pause).sum();
        assert!((60..=90).contains(&pauses.as_secs()), "{pauses:?}");
    }
}
