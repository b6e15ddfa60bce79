//! An answer to its end: asked for (`asking`), shown, and booked in one transaction.

use std::time::{Duration, Instant};

use db::audit_log::AuditAction;
use models::{Affiliation, ChatMessage, EventOutcome, Person, Role};
use serde_json::json;
use slack::{Buttons, ThreadStatus};
use tokio::time::timeout;
use tracing::Instrument;

use super::IncomingMessage;
use super::authorize::unknown_person;
use super::slack_message::StreamingMessage;
use crate::budget::Charge;
use crate::fail_point;
use crate::job_context::JobContext;
use crate::job_error::JobError;
use crate::trace_spans;

/// How long an answer's end waits for Slack to say who asked.
const USER_LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// Characters of a question that become its thread's title.
const MAX_TITLE_CHARS: usize = 80;

/// An answer that stands in Slack.
pub(super) struct CompletedReply {
    pub(super) text: String,
    pub(super) model: String,
    /// What the model was asked, as it is remembered; `None` where an earlier try knew.
    pub(super) message_text: Option<String>,
    /// Whether it begins its thread, as far as this try knows.
    pub(super) is_first_in_thread: bool,
    pub(super) is_stopped: bool,
    /// What a call took that is not charged yet.
    pub(super) unbilled: Option<Charge>,
    /// When this try had its first word.
    pub(super) first_token_at: Option<Instant>,
}

impl JobContext<'_> {
    pub(super) async fn answer_known_person(
        &self,
        question: &IncomingMessage,
        person: Person,
    ) -> Result<EventOutcome, JobError> {
        // Slack may take its time over the status; the model need not wait for that.
        let ((), shown) =
            tokio::join!(self.set_status(ThreadStatus::Processing), self.produce_reply(question, &person));
        self.finish_reply(question, person.affiliation, shown?).await
    }

    /// Who they are is asked meanwhile, so that it is known the next time.
    pub(super) async fn answer_new_person(
        &self,
        question: &IncomingMessage,
    ) -> Result<EventOutcome, JobError> {
        let unknown = unknown_person(Affiliation::Member);
        let learning = timeout(USER_LOOKUP_TIMEOUT, self.fetch_person());
        let ((), learned, shown) = tokio::join!(
            self.set_status(ThreadStatus::Processing),
            learning,
            self.produce_reply(question, &unknown)
        );
        let origin = match learned {
            Ok(Ok(person)) => person.affiliation,
            Ok(Err(failure)) => {
                tracing::info!(error = ?failure, "who asks is not known yet");
                unknown.affiliation
            }
            Err(_) => unknown.affiliation,
        };
        self.finish_reply(question, origin, shown?).await
    }

    async fn finish_reply(
        &self,
        question: &IncomingMessage,
        origin: Affiliation,
        shown: CompletedReply,
    ) -> Result<EventOutcome, JobError> {
        self.set_status(ThreadStatus::Active).await;
        let outcome = if shown.is_stopped { EventOutcome::Stopped } else { EventOutcome::Answered };
        let is_first = shown.is_first_in_thread;
        self.commit_reply(question, origin, shown, outcome)
            .instrument(trace_spans::database("commit"))
            .await?;
        if question.is_dm && is_first {
            self.set_title(question).await;
        }
        Ok(outcome)
    }

    /// Brings the answer into Slack: the one that an earlier try has paid for, or a new one as it is made.
    async fn produce_reply(
        &self,
        question: &IncomingMessage,
        person: &Person,
    ) -> Result<CompletedReply, JobError> {
        let progress = self.load_progress().await?;
        let mut draft = StreamingMessage::resume(self, question, &progress).await?;
        let shown = match progress.answer {
            Some((text, usage)) => CompletedReply {
                text,
                model: usage.model,
                message_text: None,
                is_first_in_thread: false,
                is_stopped: false,
                unbilled: None,
                first_token_at: None,
            },
            None => {
                let prompt = self.build_prompt(question, person).await?;
                self.complete(prompt, progress.partial_text.unwrap_or_default(), &mut draft).await?
            }
        };
        let buttons = self.config.settings.has_feedback_buttons.then_some(Buttons::Feedback);
        draft.finish(&shown.text, buttons).await?;
        Ok(shown)
    }

    /// What the thread is called in Slack's list of conversations.
    async fn set_title(&self, question: &IncomingMessage) {
        let text = self.readable_text(&question.text);
        let title: String = text.lines().next().unwrap_or_default().chars().take(MAX_TITLE_CHARS).collect();
        if title.trim().is_empty() {
            return;
        }
        let thread = &self.job.thread;
        let set =
            self.app.slack.set_title(&self.bot, &thread.channel_id, &thread.thread_ts, title.trim()).await;
        if let Err(error) = set {
            tracing::info!("the thread has no title: {error}");
        }
    }

    /// The turn, the cost, the audit entry and the end of the event, or none of them.
    async fn commit_reply(
        &self,
        question: &IncomingMessage,
        origin: Affiliation,
        shown: CompletedReply,
        outcome: EventOutcome,
    ) -> Result<(), JobError> {
        let (tenant_id, seq) = (&self.job.tenant_id, self.job.seq);
        let asked = shown.message_text.unwrap_or_else(|| self.readable_text(&question.text));
        let turns = [
            self.to_chat_message(Role::User, origin, asked),
            self.to_chat_message(Role::Assistant, origin, shown.text),
        ];
        let mut tx = self.begin_fenced().await?;
        db::chat_memory::insert(&mut tx, tenant_id, &self.job.thread, seq, &turns).await?;
        if let Some(Charge { usage, cost_micros }) = &shown.unbilled {
            db::replies::add_usage(&mut tx, tenant_id, seq, usage, *cost_micros).await?;
        }
        let since_first_word = shown.first_token_at.map(|at| at.elapsed());
        let booked = db::usage::UsageOutcome { outcome, reason: None, since_first_token: since_first_word };
        db::usage::record(&mut tx, tenant_id, seq, booked).await?;
        db::replies::clear_text(&mut tx, tenant_id, seq).await?;
        db::events::finish(&mut tx, tenant_id, seq, outcome, None).await?;
        let is_ending = self.mark_budget_threshold(&mut tx).await?;
        self.write_audit_entry(&mut tx, AuditAction::Answered, json!({ "model": shown.model })).await?;
        fail_point::reach("end_uncommitted");
        tx.commit().await?;
        fail_point::reach("end_committed");
        if is_ending {
            self.send_budget_alert().await;
        }
        Ok(())
    }

    fn to_chat_message(&self, role: Role, origin: Affiliation, text: String) -> ChatMessage {
        ChatMessage { role, user_id: self.job.user_id.clone(), affiliation: origin, text }
    }
}
