//! Notices that only the person who asked can see.

use crate::job::context::JobContext;
use crate::job::error::JobError;

/// Tells the person why there is no reply, once per thread.
pub(super) async fn post_notice_once(context: &JobContext<'_>, text: &str) -> Result<(), JobError> {
    // This is stored first: a notice that gets lost is better than two.
    let mut tx = context.begin_fenced().await?;
    let is_first = db::threads::set_refused(&mut tx, &context.lease.lease).await?;
    tx.commit().await?;
    if is_first {
        post_ephemeral_notice(context, text).await;
    }
    Ok(())
}

/// Posts a text that only the person sees. A failure is logged.
pub(super) async fn post_ephemeral_notice(context: &JobContext<'_>, text: &str) {
    let JobContext { slack, bot, job, .. } = context;
    let channel_id = &job.thread.channel_id;
    let posted = slack.post_ephemeral(bot, channel_id, context.thread_root(), &job.user_id, text).await;
    if let Err(error) = posted {
        tracing::warn!(error = %error, "notice not posted");
    }
}
