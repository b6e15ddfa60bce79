//! One event, from what is remembered to what stands in Slack: history → model → message → one transaction.

mod draft;
mod earlier;
mod prompt;
mod welcome;

use std::time::Instant;

use db::Tx;
use db::audit_log::Action;
use db::replies::Progress;
use db::threads::{Job, Lease};
use models::{EventBody, Installation, Outcome, Role, TeamId, Turn, Usage};
use secrecy::SecretString;
use serde_json::json;
use slack::{MessageMetadata, Status};

use crate::app::App;
use crate::failure::Failure;
use crate::model::TOKEN_KINDS;
use draft::Draft;

const EMPTY: &str = "Sorry, the model had nothing to say to this. Please ask in other words.";

/// The longest answer that is taken, in bytes; a model that goes on beyond it is cut.
const MAX_ANSWER_BYTES: usize = 400_000;

/// What an answer is made with.
struct Reply<'a> {
    app: &'a App,
    lease: &'a Lease,
    job: &'a Job,
    installation: Installation,
    bot_token: SecretString,
}

/// A person's message.
struct Question {
    text: String,
    user_team_id: Option<TeamId>,
    is_dm: bool,
}

/// Answers an event, or goes on where an earlier try stopped.
pub(crate) async fn answer(app: &App, lease: &Lease, job: &Job) -> Result<Outcome, Failure> {
    let (reply, body) = Reply::begin(app, lease, job).await?;
    match body {
        EventBody::Welcome => reply.welcome().await,
        EventBody::Message { text, user_team_id, is_dm } => {
            reply.answer(Question { text, user_team_id, is_dm }).await
        }
    }
}

/// Tells the person that there will be no answer, in the message of the answer if it has begun, and clears the status.
pub(crate) async fn apologise(
    app: &App,
    lease: &Lease,
    job: &Job,
    sentence: Option<&'static str>,
) -> Result<(), Failure> {
    let (reply, body) = Reply::begin(app, lease, job).await?;
    let EventBody::Message { text, user_team_id, is_dm } = body else { return Ok(()) };
    let told = match sentence {
        Some(sentence) => {
            let question = Question { text, user_team_id, is_dm };
            let mut draft = Draft::resume(&reply, &question, &reply.progress().await?).await?;
            draft.replace(sentence).await
        }
        None => Ok(()),
    };
    reply.set_status(Status::Active).await;
    told
}

impl<'a> Reply<'a> {
    async fn begin(app: &'a App, lease: &'a Lease, job: &'a Job) -> Result<(Self, EventBody), Failure> {
        let mut tx = app.db.begin().await?;
        let body = db::events::open_body(&mut tx, &job.tenant_id, &job.sealed_body).await?;
        let (installation, bot_token) = db::installations::find(&mut tx, &job.tenant_id)
            .await?
            .ok_or_else(|| Failure::give_up_silently("the workspace has no installation (any more)"))?;
        Ok((Self { app, lease, job, installation, bot_token }, body))
    }

    /// A transaction in which this worker holds the thread.
    async fn fenced(&self) -> Result<Tx, Failure> {
        let mut tx = self.app.db.begin().await?;
        db::threads::hold(&mut tx, self.lease).await?;
        Ok(tx)
    }

    async fn progress(&self) -> Result<Progress, Failure> {
        let mut tx = self.app.db.begin().await?;
        Ok(db::replies::find(&mut tx, &self.job.tenant_id, self.job.seq).await?)
    }

    fn metadata(&self, part_start: usize) -> MessageMetadata {
        MessageMetadata { event_id: self.job.event_id.clone(), part_start }
    }

    /// People see it, but no answer depends on it.
    async fn set_status(&self, status: Status) {
        let thread = &self.job.thread;
        let set =
            self.app.slack.set_status(&self.bot_token, &thread.channel_id, &thread.thread_ts, status).await;
        if let Err(error) = set {
            tracing::warn!(error = %error, "the status could not be set");
        }
    }

    async fn answer(&self, question: Question) -> Result<Outcome, Failure> {
        // Slack may take its time over the status; the model need not wait for that.
        let ((), shown) = tokio::join!(self.set_status(Status::Processing), self.show(&question));
        let (text, usage) = shown?;
        self.set_status(Status::Active).await;
        self.commit(&question, &text, &usage).await?;
        Ok(Outcome::Answered)
    }

    /// Brings the answer into Slack: the one that an earlier try has paid for, or a new one as it is made.
    async fn show(&self, question: &Question) -> Result<(String, Usage), Failure> {
        let progress = self.progress().await?;
        let mut draft = Draft::resume(self, question, &progress).await?;
        let (text, usage) = match progress.answer {
            Some(paid) => paid,
            None => self.ask(&self.prompt(question).await?, &mut draft).await?,
        };
        draft.finish(&text).await?;
        Ok((text, usage))
    }

    /// Asks the model and shows its words as they come; the whole answer is kept before anything else is done with it,
    /// so that it is paid once.
    async fn ask(
        &self,
        prompt: &[serde_json::Value],
        draft: &mut Draft<'_>,
    ) -> Result<(String, Usage), Failure> {
        let asked_at = Instant::now();
        let mut answer = self.app.model.ask(prompt).await?;
        let mut text = String::new();
        while let Some(words) = answer.next().await? {
            if text.is_empty() {
                metrics::histogram!("enablebot_reply_first_token_seconds")
                    .record(asked_at.elapsed().as_secs_f64());
            }
            text.push_str(&slack::escape(&words));
            if text.len() > MAX_ANSWER_BYTES {
                break;
            }
            draft.show(&text).await?;
        }
        if text.trim().is_empty() {
            return Err(Failure::give_up("the model's answer was empty", EMPTY));
        }
        if let Some(remark) = answer.closing_remark() {
            text.push_str("\n\n");
            text.push_str(remark);
        }
        let usage = answer.usage().clone();
        count_tokens(&usage);
        let mut tx = self.fenced().await?;
        db::replies::set_answer(&mut tx, &self.job.tenant_id, self.job.seq, &text, &usage).await?;
        tx.commit().await?;
        Ok((text, usage))
    }

    /// The turn, the cost, the audit entry and the end of the event, or none of them.
    async fn commit(&self, question: &Question, text: &str, usage: &Usage) -> Result<(), Failure> {
        let Job { tenant_id, seq, user_id, thread, event_id, .. } = self.job;
        let turn = |role, text| Turn { role, user_id: user_id.clone(), text };
        let turns = [turn(Role::User, self.readable(&question.text)), turn(Role::Assistant, text.to_owned())];
        let mut tx = self.fenced().await?;
        db::turns::insert(&mut tx, tenant_id, thread, &turns).await?;
        db::usage::insert(&mut tx, tenant_id, *seq, user_id, usage).await?;
        let detail = json!({ "event_id": event_id, "model": usage.model });
        db::audit_log::insert(&mut tx, tenant_id, user_id.as_str(), Action::Answered, detail).await?;
        db::replies::drop_text(&mut tx, tenant_id, *seq).await?;
        db::events::finish(&mut tx, tenant_id, *seq, Outcome::Answered, None).await?;
        Ok(tx.commit().await?)
    }

    fn readable(&self, text: &str) -> String {
        slack::readable(text, self.installation.bot_user_id.as_str())
    }
}

fn count_tokens(usage: &Usage) {
    for (kind, tokens) in TOKEN_KINDS.into_iter().zip([usage.prompt_tokens, usage.completion_tokens]) {
        metrics::counter!("enablebot_llm_tokens_total", "model" => usage.model.clone(), "kind" => kind)
            .increment(tokens.unsigned_abs());
    }
}
