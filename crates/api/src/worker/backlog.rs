//! When the queue is long, people are told that their answer takes longer: each once, and only they see it.

use std::sync::Arc;
use std::time::Duration;

use db::DbError;
use db::delays::Delayed;
use slack::Bot;
use tokio::time::interval;

use crate::app::App;
use crate::failure::Failure;
use crate::tokens;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(2);

/// People told at one look, at most: a long queue is no reason to spend Slack's limits on saying so.
const AT_ONCE: i64 = 20;

const DELAYED: &str =
    "I have more to answer than usual right now. Your message is in line; the answer will just take longer.";

/// Never returns.
pub(super) async fn run(app: Arc<App>) {
    let mut ticks = interval(INTERVAL);
    loop {
        ticks.tick().await;
        match take_delayed(&app).await {
            Ok(delayed) => {
                for one in delayed {
                    if let Err(failure) = tell(&app, &one, DELAYED).await {
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
async fn take_delayed(app: &App) -> Result<Vec<Delayed>, DbError> {
    db::in_time(async {
        let mut tx = app.db.begin_for_all().await?;
        let delayed = db::delays::take_delayed(&mut tx, AT_ONCE).await?;
        tx.commit().await?;
        Ok(delayed)
    })
    .await
}

/// Only they see it.
pub(super) async fn tell(app: &App, delayed: &Delayed, sentence: &str) -> Result<(), Failure> {
    let installed = tokens::find_fresh(app, &delayed.tenant_id).await?.installed;
    let bot = Bot {
        tenant_id: delayed.tenant_id.clone(),
        token: installed.bot_token.clone(),
        team_id: None,
        hold: None,
    };
    let thread = &delayed.thread;
    let is_reply = delayed.message_ts.as_ref() != Some(&thread.thread_ts);
    let root = is_reply.then_some(&thread.thread_ts);
    app.slack.post_ephemeral(&bot, &thread.channel_id, root, &delayed.user_id, sentence).await?;
    Ok(())
}
