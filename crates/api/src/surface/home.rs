//! The bot's Home tab: how it is set up here, and what one may ask.
//! Source: <https://docs.slack.dev/surfaces/app-home>

use models::Outcome;
use serde_json::{Value, json};
use slack::SUGGESTED_PROMPTS;

use super::command::HELP;
use crate::failure::Failure;
use crate::work::Work;

/// Characters of a section's text, by Slack's limit.
const SECTION_LIMIT: usize = 3_000;

impl Work<'_> {
    pub(crate) async fn publish_home(&self) -> Result<Outcome, Failure> {
        let examples: Vec<String> =
            SUGGESTED_PROMPTS.iter().map(|(_, message)| format!("•  _{message}_")).collect();
        let status = self.status().await?;
        let blocks = json!([
            header("EnableBot"),
            section("I answer questions in your threads, as a stream."),
            header("How it is set up here"),
            section(&status),
            header("Try asking"),
            section(&examples.join("\n")),
            { "type": "divider" },
            section(&HELP.replace("- `", "•  `")),
            { "type": "context", "elements": [{ "type": "mrkdwn",
                "text": "I am a language model: check what matters. What is said with me is encrypted at rest." }] },
        ]);
        self.app.slack.publish_home(&self.bot, &self.job.user_id, &blocks).await?;
        self.finish((Outcome::Done, None)).await
    }
}

fn header(text: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": text } })
}

fn section(mrkdwn: &str) -> Value {
    let text: String = mrkdwn.chars().take(SECTION_LIMIT).collect();
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}
