//! Finds a message that an earlier try may have posted. Its `ts` is unknown if the response to the call was
//! lost or the process died; posting again would duplicate it.

use models::MessageTs;
use slack::PostedMessage;

use crate::job::context::JobContext;
use crate::job::error::JobError;

/// Returns the message in the thread that begins at this byte of the reply.
pub(super) async fn find_posted_message(
    context: &JobContext<'_>,
    part_start: usize,
) -> Result<Option<MessageTs>, JobError> {
    let JobContext { slack, bot, bot_user_id, job, .. } = context;
    let thread = &job.thread;
    let after = job.message_ts.as_ref().unwrap_or(&thread.thread_ts);
    let candidates: Vec<PostedMessage> =
        slack.list_bot_replies(bot, &thread.channel_id, &thread.thread_ts, after, bot_user_id).await?;
    let wanted = context.message_metadata(part_start);
    match candidates.iter().find(|message| message.metadata.as_ref() == Some(&wanted)) {
        Some(message) => Ok(Some(message.ts.clone())),
        None => find_unmarked_message(context, &candidates).await,
    }
}

/// Returns the message without metadata that belongs to no other reply. A stream gets its metadata when it is
/// stopped.
async fn find_unmarked_message(
    context: &JobContext<'_>,
    candidates: &[PostedMessage],
) -> Result<Option<MessageTs>, JobError> {
    let unmarked: Vec<String> = candidates
        .iter()
        .filter(|message| message.metadata.is_none())
        .map(|message| message.ts.to_string())
        .collect();
    let (tenant_id, channel_id) = (&context.job.tenant_id, &context.job.thread.channel_id);
    let mut tx = context.begin().await?;
    let known = db::replies::list_known_messages(&mut tx, tenant_id, channel_id, &unmarked).await?;
    Ok(unmarked.into_iter().find(|ts| !known.contains(ts)).map(MessageTs::from))
}
