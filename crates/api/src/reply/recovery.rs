//! A message that an earlier try may have posted: its `ts` was never learned, because the answer to the call was lost
//! or the process died with it. It is looked for before anything is posted again.

use models::MessageTs;
use slack::PostedMessage;

use crate::job_context::JobContext;
use crate::job_error::JobError;

impl JobContext<'_> {
    /// The message that begins at this byte of the answer, if it stands in the thread.
    pub(super) async fn find_posted_message(&self, part_start: usize) -> Result<Option<MessageTs>, JobError> {
        let thread = &self.job.thread;
        let after = self.job.message_ts.as_ref().unwrap_or(&thread.thread_ts);
        let candidates: Vec<PostedMessage> = self
            .app
            .slack
            .list_bot_replies(
                &self.bot,
                &thread.channel_id,
                &thread.thread_ts,
                after,
                &self.installation.bot_user_id,
            )
            .await?;
        let wanted = self.message_metadata(part_start);
        let marked = candidates.iter().find(|message| message.metadata.as_ref() == Some(&wanted));
        match marked {
            Some(message) => Ok(Some(message.ts.clone())),
            None => self.find_unmarked_message(&candidates).await,
        }
    }

    /// A stream gets its mark when it is stopped: one without a mark, and not of another answer, is the one.
    async fn find_unmarked_message(
        &self,
        candidates: &[PostedMessage],
    ) -> Result<Option<MessageTs>, JobError> {
        let unmarked: Vec<String> = candidates
            .iter()
            .filter(|message| message.metadata.is_none())
            .map(|message| message.ts.to_string())
            .collect();
        let (tenant_id, channel_id) = (&self.job.tenant_id, &self.job.thread.channel_id);
        let mut tx = self.app.db.begin(tenant_id).await?;
        let known = db::replies::list_known_messages(&mut tx, tenant_id, channel_id, &unmarked).await?;
        Ok(unmarked.into_iter().find(|ts| !known.contains(ts)).map(MessageTs::from))
    }
}
