//! The bot's Home tab: how it is set up here, and what one may ask.
//! Source: <https://docs.slack.dev/surfaces/app-home>

use models::EventOutcome;
use serde_json::{Value, json};
use slack::SUGGESTED_PROMPTS;

use super::command::HELP_TEXT;
use crate::job_context::JobContext;
use crate::job_error::JobError;

/// Characters of a section's text, by Slack's limit.
const MAX_SECTION_CHARS: usize = 3_000;

impl JobContext<'_> {
    pub(crate) async fn publish_home(&self) -> Result<EventOutcome, JobError> {
        let examples: Vec<String> =
            SUGGESTED_PROMPTS.iter().map(|(_, message)| format!("•  _{message}_")).collect();
        let status = self.status_text().await?;
        let blocks = json!([
            header_block("EnableBot"),
            section_block("I answer questions in your threads, as a stream."),
            header_block("How it is set up here"),
            section_block(&status),
            header_block("Try asking"),
            section_block(&examples.join("\n")),
            { "type": "divider" },
            section_block(&HELP_TEXT.replace("- `", "•  `")),
            { "type": "context", "elements": [{ "type": "mrkdwn",
                "text": "I am a language model: check what matters. What is said with me is encrypted at rest." }] },
        ]);
        self.app.slack.publish_home(&self.bot, &self.job.user_id, &blocks).await?;
        self.finish_event((EventOutcome::Done, None)).await
    }
}

fn header_block(text: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": text } })
}

fn section_block(mrkdwn: &str) -> Value {
    let text: String = mrkdwn.chars().take(MAX_SECTION_CHARS).collect();
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}
