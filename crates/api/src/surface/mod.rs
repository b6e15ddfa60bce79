//! What people see of the bot besides its answers: first messages, the Home tab, commands, buttons.

mod command;
mod home;
mod onboarding;

use models::{ChannelId, EventId, EventOutcome, MessageTs};
use slack::SUGGESTED_PROMPTS;

use crate::job_context::JobContext;
use crate::job_error::JobError;

impl JobContext<'_> {
    /// Suggests what to ask; who is here for the first time is greeted.
    pub(crate) async fn open_conversation(
        &self,
        channel_id: &ChannelId,
        thread_ts: Option<&MessageTs>,
    ) -> Result<EventOutcome, JobError> {
        let prompts =
            self.app.slack.set_suggested_prompts(&self.bot, channel_id, thread_ts, SUGGESTED_PROMPTS);
        if let Err(error) = prompts.await {
            // Nice to have; the manifest has suggestions, too.
            tracing::info!("no prompts are suggested: {error}");
        }
        self.greet_person(Some(channel_id)).await
    }

    /// Which channel somebody looks at beside the conversation with the bot.
    pub(crate) async fn record_context(
        &self,
        channel_id: Option<&ChannelId>,
    ) -> Result<EventOutcome, JobError> {
        let mut tx = self.begin_fenced().await?;
        db::people::set_viewed_channel(&mut tx, &self.job.tenant_id, &self.job.user_id, channel_id).await?;
        db::events::finish(&mut tx, &self.job.tenant_id, self.job.seq, EventOutcome::Done, None).await?;
        tx.commit().await?;
        Ok(EventOutcome::Done)
    }

    /// A judgement is kept with the event that was answered, not with the words.
    pub(crate) async fn record_feedback(
        &self,
        event_id: &EventId,
        positive: bool,
    ) -> Result<EventOutcome, JobError> {
        let (tenant_id, user_id) = (&self.job.tenant_id, &self.job.user_id);
        let mut tx = self.begin_fenced().await?;
        db::feedback::upsert(&mut tx, tenant_id, event_id, user_id, positive).await?;
        db::events::finish(&mut tx, tenant_id, self.job.seq, EventOutcome::Done, None).await?;
        tx.commit().await?;
        Ok(EventOutcome::Done)
    }

    /// Gives what was set aside another chance.
    pub(crate) async fn redrive_event(&self, event_id: &EventId) -> Result<EventOutcome, JobError> {
        let tenant_id = &self.job.tenant_id;
        let mut tx = self.begin_fenced().await?;
        let redriven = db::dead_letters::redrive(&mut tx, tenant_id, event_id).await?;
        let reason = (!redriven).then_some("nothing was set aside under this event");
        db::events::finish(&mut tx, tenant_id, self.job.seq, EventOutcome::Done, reason).await?;
        tx.commit().await?;
        Ok(EventOutcome::Done)
    }
}
