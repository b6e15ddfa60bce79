//! Tells people once, by an ephemeral message, when a long queue delays their reply.

use std::sync::Arc;
use std::time::Duration;

use db::deferrals::DelayedMessage;
use db::{Db, DbError};
use futures_util::future::join_all;
use tokio::time::interval;

use crate::job::error::JobError;
use crate::state::ApiState;
use crate::token_refresh::{load_with_valid_token, unguarded_bot};

/// The interval at which delayed messages are looked for.
const DELAY_NOTICE_INTERVAL: Duration = Duration::from_secs(2);

/// Notices in one round. A long queue must not use up Slack's rate limits for notices about it.
const MAX_NOTICES_PER_ROUND: i64 = 20;

const BACKLOG_NOTICE_TEXT: &str =
    "I have more questions than usual right now. You're in the queue; my answer will take a little longer.";

/// Never returns.
pub(super) async fn run(state: Arc<ApiState>) {
    let mut ticks = interval(DELAY_NOTICE_INTERVAL);
    loop {
        ticks.tick().await;
        match claim_delayed(&state.db).await {
            Ok(delayed) => {
                // At the same time: a workspace for which Slack is slow delays no other.
                let notices = delayed.iter().map(|message| post_backlog_notice(&state, message));
                join_all(notices).await;
            }
            Err(error) => tracing::warn!(error = %error, "delayed message query failed"),
        }
    }
}

async fn post_backlog_notice(state: &ApiState, message: &DelayedMessage) {
    if let Err(error) = send_delay_notice(state, message, BACKLOG_NOTICE_TEXT).await {
        tracing::warn!(tenant_id = %message.tenant_id, error = ?error, "delay notice not posted");
    }
}

/// Marks the messages before their notices are posted: a notice that gets lost is better than two.
async fn claim_delayed(db: &Db) -> Result<Vec<DelayedMessage>, DbError> {
    db::with_timeout(async {
        let mut tx = db.begin_cross_tenant().await?;
        let delayed = db::deferrals::claim_delay_notices(&mut tx, MAX_NOTICES_PER_ROUND).await?;
        tx.commit().await?;
        Ok(delayed)
    })
    .await
}

/// Posts a notice that only the message's author sees.
pub(super) async fn send_delay_notice(
    state: &ApiState,
    delayed: &DelayedMessage,
    text: &str,
) -> Result<(), JobError> {
    let bot = unguarded_bot(&load_with_valid_token(state, &delayed.tenant_id).await?);
    let DelayedMessage { thread, message_ts, user_id, .. } = delayed;
    let is_reply = message_ts.as_ref() != Some(&thread.thread_ts);
    let root = is_reply.then_some(&thread.thread_ts);
    state.slack.post_ephemeral(&bot, &thread.channel_id, root, user_id, text).await?;
    Ok(())
}
