//! What is above `RATE_LIMIT_*` waits for its turn, and whoever wrote it is told.

use std::time::Duration;

use db::DbError;
use db::delays::Delayed;
use db::threads::{Job, Lease};

use super::backlog::tell;
use crate::app::App;

/// Puts the event off until its turn.
pub(super) async fn wait(app: &App, lease: &Lease, job: &Job, pause: Duration) -> Result<(), DbError> {
    let mut tx = app.db.begin(&lease.tenant_id).await?;
    db::threads::hold(&mut tx, lease).await?;
    db::delays::await_turn(&mut tx, &job.tenant_id, job.seq, pause).await?;
    // Noted before they are told: better not told than told twice.
    let to_tell = db::delays::note_told(&mut tx, &job.tenant_id, &job.user_id, job.seq).await?;
    tx.commit().await?;
    tracing::info!("above the limit of answers, its turn comes in {pause:?}");
    if !to_tell {
        return Ok(());
    }
    let delayed = Delayed {
        tenant_id: job.tenant_id.clone(),
        thread: job.thread.clone(),
        message_ts: job.message_ts.clone(),
        user_id: job.user_id.clone(),
    };
    if let Err(failure) = tell(app, &delayed, &sentence(pause)).await {
        tracing::warn!(error = ?failure, "a person could not be told that their message waits");
    }
    Ok(())
}

fn sentence(pause: Duration) -> String {
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
    fn it_says_when() {
        let told = |seconds| sentence(Duration::from_secs(seconds));
        assert!(told(0).ends_with("in a moment."));
        assert!(told(12).ends_with("in about 12 seconds."));
        assert!(told(121).ends_with("in about 3 minutes."));
    }
}
