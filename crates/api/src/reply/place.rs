//! Whether the workspace wants an answer where the question stands.

use models::Outcome;

use super::Question;
use crate::failure::Failure;
use crate::work::{Ending, Work};

const NOT_HERE: &str = "Sorry, an admin of this workspace has not allowed me to answer in this channel. Write to me in our own conversation instead.";

impl Work<'_> {
    /// Why there is no answer, if there is none; in its own conversation the bot always answers.
    pub(super) async fn find_hindrance(&self, question: &Question) -> Result<Option<Ending>, Failure> {
        let settings = &self.settings.settings;
        if question.is_dm {
            return Ok(None);
        }
        let is_mentioned = question.text.contains(&format!("<@{}", self.installation.bot_user_id));
        if !settings.follow_ups && !is_mentioned {
            return Ok(Some((
                Outcome::NotAddressed,
                Some("threads go on only by a mention, as an admin has set"),
            )));
        }
        if settings.allows(&self.job.thread.channel_id) {
            return Ok(None);
        }
        self.tell_once(NOT_HERE).await?;
        Ok(Some((Outcome::Refused, Some("channel not allowed"))))
    }
}
