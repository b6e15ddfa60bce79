//! `/enablebot help | status | forget me | export`. Only the person sees the response.

use db::audit_log::AuditAction;
use db::installations::StoredInstallation;
use models::EventOutcome;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::status::status_text;
use crate::job::context::JobContext;
use crate::job::error::JobError;

/// The list of commands, also for the Home tab.
pub(super) const HELP_TEXT: &str =
    "Send me a direct message, or mention me in a channel: I answer in the thread.

- `/enablebot status` – shows whether everything works, and what is missing
- `/enablebot forget me` – deletes your profile and all messages with you from my memory
- `/enablebot export` – sends you a file with everything I remember about you";

/// Runs the command and responds.
pub(crate) async fn run_command(
    context: &JobContext<'_>,
    installed: &StoredInstallation,
    text: &str,
    response_url: &str,
) -> Result<EventOutcome, JobError> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let response = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["status"] => status_text(context, installed).await?,
        ["forget", "me"] => forget_person(context).await?,
        ["export"] => export_person(context).await?,
        [] | ["help"] => HELP_TEXT.to_owned(),
        _ => format!("I do not know this command.\n\n{HELP_TEXT}"),
    };
    respond(context.slack, response_url, &response).await?;
    context.finish((EventOutcome::Done, None)).await
}

/// Posts a response to a command.
pub(crate) async fn respond(
    slack: &slack::Client,
    response_url: &str,
    markdown: &str,
) -> Result<(), JobError> {
    Ok(slack.respond(&SecretString::from(response_url), markdown).await?)
}

async fn forget_person(context: &JobContext<'_>) -> Result<String, JobError> {
    let job = context.job;
    db::forgetting::settle_inbox(context.db).await?;
    let mut tx = context.begin().await?;
    // The threads are locked in their order before the lease is asserted, which locks the command's own.
    let forgotten = db::forgetting::forget(&mut tx, &job.tenant_id, &job.user_id, None).await?;
    db::threads::assert_lease(&mut tx, &context.lease.lease).await?;
    // The command is an event of theirs too, and has ended with the others.
    db::forgetting::set_own_outcome(&mut tx, &job.tenant_id, job.seq, EventOutcome::Done).await?;
    let messages = forgotten.messages;
    audit(context, &mut tx, AuditAction::PersonForgotten, json!(forgotten)).await?;
    tx.commit().await?;
    Ok(format!("Done. I deleted your profile and {messages} messages. Messages in Slack aren't affected."))
}

async fn export_person(context: &JobContext<'_>) -> Result<String, JobError> {
    let JobContext { slack, bot, job, .. } = context;
    let mut tx = context.begin().await?;
    // People may always have what they wrote themselves.
    let export = db::profiles::export(&mut tx, &job.tenant_id, &job.user_id, true).await?;
    drop(tx);
    let dm = slack.open_dm(bot, &job.user_id).await?;
    let bytes = serde_json::to_vec_pretty(&export).map_err(JobError::fatal_silent)?;
    let (name, comment) = ("enablebot-export.json", "Everything I remember about you.");
    slack.upload_file(bot, &dm, name, bytes, comment).await?;
    let mut tx = context.begin_fenced().await?;
    let detail = json!({ "messages": export.conversations.len() });
    audit(context, &mut tx, AuditAction::PersonExported, detail).await?;
    tx.commit().await?;
    Ok("I sent you the file in our direct messages.".to_owned())
}

/// Writes an audit entry in the name of the person who ran the command.
async fn audit(
    context: &JobContext<'_>,
    tx: &mut db::Tx,
    action: AuditAction,
    detail: Value,
) -> Result<(), db::DbError> {
    let (tenant_id, actor) = (&context.job.tenant_id, context.job.user_id.as_str());
    db::audit_log::insert(tx, tenant_id, actor, action, context.audit_detail(detail)).await
}
