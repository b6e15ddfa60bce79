//! The first message to whoever installed the bot.

use models::{ChannelId, Outcome};
use slack::NewMessage;

use super::Reply;
use crate::failure::Failure;

const WELCOME: &str = "Hello! I am installed and listening.

- **Ask me here**, in this conversation: I answer in a thread under your message.
- **Mention me in a channel** after inviting me there with `/invite`; in that thread I go on without being mentioned.

What I remember is what was said in the thread, encrypted at rest.";

impl Reply<'_> {
    /// The event's user is the installer; there is no message it answers.
    pub(super) async fn welcome(&self) -> Result<Outcome, Failure> {
        let (slack, token) = (&self.app.slack, &self.bot_token);
        let channel_id = slack.open_dm(token, &self.job.user_id).await?;
        if self.job.attempt == 1 || !self.welcomed(&channel_id).await? {
            let metadata = self.metadata(0);
            let message = NewMessage {
                channel_id: &channel_id,
                thread_ts: None,
                markdown: WELCOME,
                metadata: &metadata,
            };
            slack.post_message(token, &message).await?;
        }
        let mut tx = self.fenced().await?;
        db::events::finish(&mut tx, &self.job.tenant_id, self.job.seq, Outcome::Welcomed, None).await?;
        tx.commit().await?;
        Ok(Outcome::Welcomed)
    }

    async fn welcomed(&self, channel_id: &ChannelId) -> Result<bool, Failure> {
        let bot_user_id = &self.installation.bot_user_id;
        let messages = self.app.slack.list_own_messages(&self.bot_token, channel_id, bot_user_id).await?;
        Ok(messages.iter().any(|message| message.metadata.as_ref() == Some(&self.metadata(0))))
    }
}
