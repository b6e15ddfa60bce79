//! Defers messages above `RATE_LIMIT_*` until they are admitted, and tells the person.

use std::time::Duration;

use db::DbError;
use db::deferrals::DelayedMessage;
use db::threads::{Job, Lease};

use super::delay_notices::send_delay_notice;
use crate::job::context::begin_fenced;
use crate::state::ApiState;

/// Defers the event, and tells the person at most once a minute.
pub(super) async fn defer_rate_limited(
    state: &ApiState,
    lease: &Lease,
    job: &Job,
    pause: Duration,
) -> Result<(), DbError> {
    let mut tx = begin_fenced(&state.db, lease).await?;
    db::deferrals::defer_rate_limited(&mut tx, &job.tenant_id, job.seq, pause).await?;
    // This is stored first: a notice that gets lost is better than two.
    let is_notice_due = db::deferrals::mark_notified(&mut tx, &job.tenant_id, &job.user_id, job.seq).await?;
    tx.commit().await?;
    tracing::info!("rate limited, admitted in {pause:?}");
    if !is_notice_due {
        return Ok(());
    }
    let delayed = DelayedMessage {
        tenant_id: job.tenant_id.clone(),
        thread: job.thread.clone(),
        message_ts: job.message_ts.clone(),
        user_id: job.user_id.clone(),
    };
    if let Err(error) = send_delay_notice(state, &delayed, &waiting_notice(pause)).await {
        tracing::warn!(error = ?error, "rate limit notice not posted");
    }
    Ok(())
}

fn waiting_notice(pause: Duration) -> String {
    let when = match pause.as_secs() {
        0..=1 => "in a moment".to_owned(),
        seconds @ 2..90 => format!("in about {seconds} seconds"),
        seconds => format!("in about {} minutes", seconds.div_ceil(60)),
    };
    format!("I'm getting a lot of questions right now. You're in the queue; I'll get to yours {when}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_states_waiting_time() {
        let notice = |seconds| waiting_notice(Duration::from_secs(seconds));
        assert!(notice(0).ends_with("in a moment."));
        assert!(notice(12).ends_with("in about 12 seconds."));
        assert!(notice(121).ends_with("in about 3 minutes."));
    }
}
