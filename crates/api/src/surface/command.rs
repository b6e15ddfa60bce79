//! `/enablebot help | status | forget me | export`: answered to the person alone.

use db::audit_log::AuditAction;
use models::EventOutcome;
use secrecy::SecretString;
use serde_json::json;

use crate::job_context::JobContext;
use crate::job_error::JobError;

pub(crate) const HELP_TEXT: &str =
    "Write to me in our conversation, or mention me in a channel: I answer in the thread.

- `/enablebot status` – whether I am well, and what I am missing
- `/enablebot forget me` – I forget all that was said with you
- `/enablebot export` – you get all that I remember of you, as a file";

impl JobContext<'_> {
    pub(crate) async fn run_command(&self, text: &str, response_url: &str) -> Result<EventOutcome, JobError> {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let answer = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["status"] => self.status_text().await?,
            ["forget", "me"] => self.forget_person().await?,
            ["export"] => self.export_person().await?,
            [] | ["help"] => HELP_TEXT.to_owned(),
            _ => format!("I do not know that one.\n\n{HELP_TEXT}"),
        };
        self.respond(response_url, &answer).await?;
        self.finish_event((EventOutcome::Done, None)).await
    }

    pub(crate) async fn respond(&self, response_url: &str, markdown: &str) -> Result<(), JobError> {
        Ok(self.app.slack.respond(&SecretString::from(response_url), markdown).await?)
    }

    /// The workspace's state at a glance, the same in the Home tab.
    pub(crate) async fn status_text(&self) -> Result<String, JobError> {
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        let waiting = db::events::count_pending(&mut tx, &self.job.tenant_id).await?;
        let open_channels = db::channels::list_external_allowed(&mut tx, &self.job.tenant_id).await?;
        drop(tx);
        let installed = self.installed();
        let mut lines = vec![format!(
            "I am installed in “{}” since {} and listening.",
            self.installation.name,
            installed.installed_at.format("%d %B %Y")
        )];
        if installed.suspended_reason.is_some() {
            lines.push(
                "⚠️ Whoever runs me has suspended this workspace: I answer no questions until it goes on."
                    .to_owned(),
            );
        }
        // This command is one of them.
        lines.push(match waiting - 1 {
            ..=0 => "Nothing waits for me.".to_owned(),
            1 => "One message waits for me.".to_owned(),
            more => format!("{more} messages wait for me."),
        });
        if !open_channels.is_empty() {
            let names: Vec<String> = open_channels.iter().map(|channel| format!("<#{channel}>")).collect();
            lines.push(format!("People of other organisations are answered in {}.", names.join(", ")));
        }
        let missing = slack::missing_scopes(&self.installation.scopes);
        for scope in &missing {
            lines.push(format!("⚠️ The scope `{}` was not granted: {}", scope.name, scope.impact));
        }
        if !missing.is_empty() {
            lines.push("Installing me again grants what is missing.".to_owned());
        }
        if let Some((problem, at)) = installed.problem.as_ref().zip(installed.problem_at) {
            let at = at.format("%d %B, %H:%M UTC");
            lines.push(format!("⚠️ Slack last refused me something on {at}: `{problem}`"));
        }
        Ok(lines.join("\n"))
    }

    async fn forget_person(&self) -> Result<String, JobError> {
        let mut tx = self.begin_fenced().await?;
        let turns = db::people::erase(&mut tx, &self.job.tenant_id, &self.job.user_id).await?;
        self.write_audit_entry(&mut tx, AuditAction::PersonForgotten, json!({ "turns": turns })).await?;
        tx.commit().await?;
        Ok(format!(
            "Done: I have forgotten you, and {turns} messages of our conversations. What stands in Slack itself stays there."
        ))
    }

    async fn export_person(&self) -> Result<String, JobError> {
        let (tenant_id, user_id) = (&self.job.tenant_id, &self.job.user_id);
        let mut tx = self.app.db.begin(tenant_id).await?;
        let export = db::profiles::export(&mut tx, tenant_id, user_id).await?;
        drop(tx);
        let slack = &self.app.slack;
        let dm = slack.open_dm(&self.bot, user_id).await?;
        let bytes = serde_json::to_vec_pretty(&export).map_err(JobError::fatal_silent)?;
        slack
            .upload_file(&self.bot, &dm, "enablebot-export.json", bytes, "All that I remember of you.")
            .await?;
        let mut tx = self.begin_fenced().await?;
        self.write_audit_entry(
            &mut tx,
            AuditAction::PersonExported,
            json!({ "turns": export.conversations.len() }),
        )
        .await?;
        tx.commit().await?;
        Ok("I have sent it to you as a file, in our conversation.".to_owned())
    }
}
