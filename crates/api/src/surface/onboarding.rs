//! The first message to whoever installed the bot, or meets it for the first time: once a person.

use models::{ChannelId, EventOutcome};
use slack::NewMessage;

use crate::job_context::JobContext;
use crate::job_error::JobError;

const WELCOME_TEXT: &str = "Hello! I am installed and listening.

- **Ask me here**, in this conversation: I answer in a thread under your message.
- **Mention me in a channel** after inviting me there with `/invite`; in that thread I go on without being mentioned.

What I remember is what was said in the thread, encrypted at rest.";

const GREETING_TEXT: &str = "Hello! I answer questions, here and in channels.

- **Ask me here**: I answer in a thread under your message, and remember what was said in it.
- **Mention me in a channel** that I was invited to; in that thread I go on without being mentioned.
- `/enablebot help` says what else there is; `/enablebot forget me` makes me forget.

I am a language model: check what matters.";

impl JobContext<'_> {
    /// The event's user is the installer; there is no message it answers.
    pub(crate) async fn send_welcome(&self) -> Result<EventOutcome, JobError> {
        self.post_first_message(None, WELCOME_TEXT).await?;
        self.finish_greeting(EventOutcome::Welcomed).await
    }

    /// Greets a person in their DM, unless that was done before.
    pub(crate) async fn greet_person(
        &self,
        channel_id: Option<&ChannelId>,
    ) -> Result<EventOutcome, JobError> {
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        let greeted = db::people::is_onboarded(&mut tx, &self.job.tenant_id, &self.job.user_id).await?;
        drop(tx);
        if !greeted {
            self.post_first_message(channel_id, GREETING_TEXT).await?;
        }
        self.finish_greeting(EventOutcome::Done).await
    }

    async fn post_first_message(&self, channel_id: Option<&ChannelId>, text: &str) -> Result<(), JobError> {
        let channel_id = match channel_id {
            Some(channel_id) => channel_id.clone(),
            None => self.app.slack.open_dm(&self.bot, &self.job.user_id).await?,
        };
        if self.job.attempt == 1 || !self.is_already_posted(&channel_id).await? {
            let metadata = self.message_metadata(0);
            let message = NewMessage {
                channel_id: &channel_id,
                thread_ts: None,
                markdown: text,
                metadata: &metadata,
                buttons: None,
            };
            self.app.slack.post_message(&self.bot, &message).await?;
        }
        Ok(())
    }

    /// Whether an earlier try, whose end nobody knows, has posted it.
    async fn is_already_posted(&self, channel_id: &ChannelId) -> Result<bool, JobError> {
        let bot_user_id = &self.installation.bot_user_id;
        let messages = self.app.slack.list_bot_messages(&self.bot, channel_id, bot_user_id).await?;
        Ok(messages.iter().any(|message| message.metadata.as_ref() == Some(&self.message_metadata(0))))
    }

    async fn finish_greeting(&self, outcome: EventOutcome) -> Result<EventOutcome, JobError> {
        let mut tx = self.begin_fenced().await?;
        db::people::set_onboarded(&mut tx, &self.job.tenant_id, &self.job.user_id).await?;
        db::events::finish(&mut tx, &self.job.tenant_id, self.job.seq, outcome, None).await?;
        tx.commit().await?;
        Ok(outcome)
    }
}
