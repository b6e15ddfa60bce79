//! What is above `RATE_LIMIT_*` waits for its turn, and whoever wrote it is told.

use std::time::Duration;

use db::DbError;
use db::deferrals::DelayedMessage;
use db::threads::{Job, Lease};

use super::delay_notices::send_delay_notice;
use crate::state::ApiState;

/// Puts the event off until its turn.
pub(super) async fn defer_rate_limited(
    app: &ApiState,
    lease: &Lease,
    job: &Job,
    pause: Duration,
) -> Result<(), DbError> {
    let mut tx = app.db.begin(&lease.tenant_id).await?;
    db::threads::assert_lease(&mut tx, lease).await?;
    db::deferrals::defer_rate_limited(&mut tx, &job.tenant_id, job.seq, pause).await?;
    // Noted before they are told: better not told than told twice.
    let to_tell = db::deferrals::mark_notified(&mut tx, &job.tenant_id, &job.user_id, job.seq).await?;
    tx.commit().await?;
    tracing::info!("above the limit of answers, its turn comes in {pause:?}");
    if !to_tell {
        return Ok(());
    }
    let delayed = DelayedMessage {
        tenant_id: job.tenant_id.clone(),
        thread: job.thread.clone(),
        message_ts: job.message_ts.clone(),
        user_id: job.user_id.clone(),
    };
    if let Err(failure) = send_delay_notice(app, &delayed, &waiting_notice(pause)).await {
        tracing::warn!(error = ?failure, "a person could not be told that their message waits");
    }
    Ok(())
}

fn waiting_notice(pause: Duration) -> String {
    let when = match pause.as_secs() {
        0..=1 => "in a moment".to_owned(),
        seconds @ 2..90 => format!("in about {seconds} seconds"),
        seconds => format!("in about {} minutes", seconds.div_ceil(60)),
    };
    format!("I am asked more than I may answer at once. Your message is in line; its turn comes {when}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_states_waiting_time() {
        let told = |seconds| waiting_notice(Duration::from_secs(seconds));
        assert!(told(0).ends_with("in a moment."));
        assert!(told(12).ends_with("in about 12 seconds."));
        assert!(told(121).ends_with("in about 3 minutes."));
    }
}
