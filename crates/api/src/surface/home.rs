//! The bot's Home tab: the workspace's status, examples and commands.
//! Source: <https://docs.slack.dev/surfaces/app-home>

use db::installations::StoredInstallation;
use models::EventOutcome;
use serde_json::{Value, json};
use slack::SUGGESTED_PROMPTS;

use super::command::HELP_TEXT;
use super::status::status_text;
use crate::job::context::JobContext;
use crate::job::error::JobError;

/// Slack's limit for the text of a section, in characters.
const MAX_SECTION_CHARS: usize = 3_000;

const FOOTER_TEXT: &str =
    "I am a language model: check what matters. Conversations with me are encrypted at rest.";

/// Publishes the Home tab of the person who opened it.
pub(crate) async fn publish_home(
    context: &JobContext<'_>,
    installed: &StoredInstallation,
) -> Result<EventOutcome, JobError> {
    let examples: Vec<String> =
        SUGGESTED_PROMPTS.iter().map(|(_, message)| format!("•  _{message}_")).collect();
    let status = status_text(context, installed).await?;
    let blocks = json!([
        header_block("EnableBot"),
        section_block("I answer questions in your threads, and you can watch the answer being written."),
        header_block("Status"),
        section_block(&status),
        header_block("Try asking"),
        section_block(&examples.join("\n")),
        { "type": "divider" },
        section_block(&HELP_TEXT.replace("- `", "•  `")),
        { "type": "context", "elements": [{ "type": "mrkdwn", "text": FOOTER_TEXT }] },
    ]);
    context.slack.publish_home(&context.bot, &context.job.user_id, &blocks).await?;
    context.finish((EventOutcome::Done, None)).await
}

fn header_block(text: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": text } })
}

fn section_block(mrkdwn: &str) -> Value {
    let text: String = mrkdwn.chars().take(MAX_SECTION_CHARS).collect();
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}
