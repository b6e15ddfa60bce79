//! When the queue is long, people are told that their answer takes longer: each once, and only they see it.

use std::sync::Arc;
use std::time::Duration;

use db::DbError;
use db::deferrals::DelayedMessage;
use slack::BotAuth;
use tokio::time::interval;

use crate::job_error::JobError;
use crate::state::ApiState;
use crate::token_refresh;

/// Between two looks.
const DELAY_NOTICE_INTERVAL: Duration = Duration::from_secs(2);

/// People told at one look, at most: a long queue is no reason to spend Slack's limits on saying so.
const MAX_NOTICES_PER_ROUND: i64 = 20;

const BACKLOG_NOTICE_TEXT: &str =
    "I have more to answer than usual right now. Your message is in line; the answer will just take longer.";

/// Never returns.
pub(super) async fn run(app: Arc<ApiState>) {
    let mut ticks = interval(DELAY_NOTICE_INTERVAL);
    loop {
        ticks.tick().await;
        match claim_delayed(&app).await {
            Ok(delayed) => {
                for one in delayed {
                    if let Err(failure) = send_delay_notice(&app, &one, BACKLOG_NOTICE_TEXT).await {
                        let tenant_id = &one.tenant_id;
                        tracing::warn!(%tenant_id, error = ?failure, "a person could not be told of the delay");
                    }
                }
            }
            Err(error) => tracing::warn!(error = %error, "who waits for long cannot be seen"),
        }
    }
}

/// Noted before they are told: better not told than told twice.
async fn claim_delayed(app: &ApiState) -> Result<Vec<DelayedMessage>, DbError> {
    db::with_timeout(async {
        let mut tx = app.db.begin_cross_tenant().await?;
        let delayed = db::deferrals::claim_delay_notices(&mut tx, MAX_NOTICES_PER_ROUND).await?;
        tx.commit().await?;
        Ok(delayed)
    })
    .await
}

/// Only they see it.
pub(super) async fn send_delay_notice(
    app: &ApiState,
    delayed: &DelayedMessage,
    sentence: &str,
) -> Result<(), JobError> {
    let installed = token_refresh::load_with_valid_token(app, &delayed.tenant_id).await?.installed;
    let bot = BotAuth {
        tenant_id: delayed.tenant_id.clone(),
        token: installed.bot_token.clone(),
        team_id: None,
        send_guard: None,
    };
    let thread = &delayed.thread;
    let is_reply = delayed.message_ts.as_ref() != Some(&thread.thread_ts);
    let root = is_reply.then_some(&thread.thread_ts);
    app.slack.post_ephemeral(&bot, &thread.channel_id, root, &delayed.user_id, sentence).await?;
    Ok(())
}
