//! The first message to whoever installed the bot, or meets it for the first time: once a person.

use models::{ChannelId, Outcome};
use slack::NewMessage;

use crate::failure::Failure;
use crate::work::Work;

const WELCOME: &str = "Hello! I am installed and listening.

- **Ask me here**, in this conversation: I answer in a thread under your message.
- **Mention me in a channel** after inviting me there with `/invite`; in that thread I go on without being mentioned.

What I remember is what was said in the thread, encrypted at rest.";

const GREETING: &str = "Hello! I answer questions, here and in channels.

- **Ask me here**: I answer in a thread under your message, and remember what was said in it.
- **Mention me in a channel** that I was invited to; in that thread I go on without being mentioned.
- `/enablebot help` says what else there is; `/enablebot forget me` makes me forget.

I am a language model: check what matters.";

impl Work<'_> {
    /// The event's user is the installer; there is no message it answers.
    pub(crate) async fn welcome(&self) -> Result<Outcome, Failure> {
        self.post_first_message(None, WELCOME).await?;
        self.end_greeting(Outcome::Welcomed).await
    }

    /// Greets a person in their DM, unless that was done before.
    pub(crate) async fn greet(&self, channel_id: Option<&ChannelId>) -> Result<Outcome, Failure> {
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        let greeted = db::people::is_onboarded(&mut tx, &self.job.tenant_id, &self.job.user_id).await?;
        drop(tx);
        if !greeted {
            self.post_first_message(channel_id, GREETING).await?;
        }
        self.end_greeting(Outcome::Done).await
    }

    async fn post_first_message(&self, channel_id: Option<&ChannelId>, text: &str) -> Result<(), Failure> {
        let channel_id = match channel_id {
            Some(channel_id) => channel_id.clone(),
            None => self.app.slack.open_dm(&self.bot, &self.job.user_id).await?,
        };
        if self.job.attempt == 1 || !self.stands_already(&channel_id).await? {
            let metadata = self.metadata(0);
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
    async fn stands_already(&self, channel_id: &ChannelId) -> Result<bool, Failure> {
        let bot_user_id = &self.installation.bot_user_id;
        let messages = self.app.slack.list_own_messages(&self.bot, channel_id, bot_user_id).await?;
        Ok(messages.iter().any(|message| message.metadata.as_ref() == Some(&self.metadata(0))))
    }

    async fn end_greeting(&self, outcome: Outcome) -> Result<Outcome, Failure> {
        let mut tx = self.fenced().await?;
        db::people::set_onboarded(&mut tx, &self.job.tenant_id, &self.job.user_id).await?;
        db::events::finish(&mut tx, &self.job.tenant_id, self.job.seq, outcome, None).await?;
        tx.commit().await?;
        Ok(outcome)
    }
}
