//! Whether the workspace wants an answer where the question stands.

use models::EventOutcome;

use super::IncomingMessage;
use crate::job_context::{JobContext, OutcomeWithReason};
use crate::job_error::JobError;

const CHANNEL_DENIED_TEXT: &str = "Sorry, an admin of this workspace has not allowed me to answer in this channel. Write to me in our own conversation instead.";

impl JobContext<'_> {
    /// Why there is no answer, if there is none; in its own conversation the bot always answers.
    pub(super) async fn check_channel(
        &self,
        question: &IncomingMessage,
    ) -> Result<Option<OutcomeWithReason>, JobError> {
        let settings = &self.config.settings;
        if question.is_dm {
            return Ok(None);
        }
        let is_mentioned = question.text.contains(&format!("<@{}", self.installation.bot_user_id));
        if !settings.has_follow_ups && !is_mentioned {
            return Ok(Some((
                EventOutcome::NotForBot,
                Some("threads go on only by a mention, as an admin has set"),
            )));
        }
        if settings.is_channel_allowed(&self.job.thread.channel_id) {
            return Ok(None);
        }
        self.post_notice_once(CHANNEL_DENIED_TEXT).await?;
        Ok(Some((EventOutcome::Refused, Some("channel not allowed"))))
    }
}
