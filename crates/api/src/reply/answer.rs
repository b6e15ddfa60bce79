//! An answer to its end: asked for (`asking`), shown, and booked in one transaction.

use std::time::{Duration, Instant};

use db::audit_log::Action;
use models::{Origin, Outcome, Person, Role, Turn};
use serde_json::json;
use slack::{Buttons, Status};
use tokio::time::timeout;
use tracing::Instrument;

use super::Question;
use super::asker::unknown;
use super::draft::Draft;
use crate::fail_point;
use crate::failure::Failure;
use crate::money::Taken;
use crate::spans;
use crate::work::Work;

/// How long an answer's end waits for Slack to say who asked.
const LEARNING: Duration = Duration::from_secs(3);

/// Characters of a question that become its thread's title.
const TITLE_CHARS: usize = 80;

/// An answer that stands in Slack.
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) model: String,
    /// What the model was asked, as it is remembered; `None` where an earlier try knew.
    pub(super) asked: Option<String>,
    /// Whether it begins its thread, as far as this try knows.
    pub(super) is_first: bool,
    pub(super) stopped: bool,
    /// What a call took that is not charged yet.
    pub(super) uncharged: Option<Taken>,
    /// When this try had its first word.
    pub(super) first_word_at: Option<Instant>,
}

impl Work<'_> {
    pub(super) async fn answer_known(&self, question: &Question, person: Person) -> Result<Outcome, Failure> {
        // Slack may take its time over the status; the model need not wait for that.
        let ((), shown) = tokio::join!(self.set_status(Status::Processing), self.show(question, &person));
        self.end(question, person.origin, shown?).await
    }

    /// Who they are is asked meanwhile, so that it is known the next time.
    pub(super) async fn answer_new(&self, question: &Question) -> Result<Outcome, Failure> {
        let unknown = unknown(Origin::Member);
        let learning = timeout(LEARNING, self.learn_of_person());
        let ((), learned, shown) =
            tokio::join!(self.set_status(Status::Processing), learning, self.show(question, &unknown));
        let origin = match learned {
            Ok(Ok(person)) => person.origin,
            Ok(Err(failure)) => {
                tracing::info!(error = ?failure, "who asks is not known yet");
                unknown.origin
            }
            Err(_) => unknown.origin,
        };
        self.end(question, origin, shown?).await
    }

    async fn end(&self, question: &Question, origin: Origin, shown: Shown) -> Result<Outcome, Failure> {
        self.set_status(Status::Active).await;
        let outcome = if shown.stopped { Outcome::Stopped } else { Outcome::Answered };
        let is_first = shown.is_first;
        self.commit(question, origin, shown, outcome).instrument(spans::database("commit")).await?;
        if question.is_dm && is_first {
            self.set_title(question).await;
        }
        Ok(outcome)
    }

    /// Brings the answer into Slack: the one that an earlier try has paid for, or a new one as it is made.
    async fn show(&self, question: &Question, person: &Person) -> Result<Shown, Failure> {
        let progress = self.progress().await?;
        let mut draft = Draft::resume(self, question, &progress).await?;
        let shown = match progress.answer {
            Some((text, usage)) => Shown {
                text,
                model: usage.model,
                asked: None,
                is_first: false,
                stopped: false,
                uncharged: None,
                first_word_at: None,
            },
            None => {
                let prompt = self.prompt(question, person).await?;
                self.ask(prompt, progress.text_so_far.unwrap_or_default(), &mut draft).await?
            }
        };
        let buttons = self.settings.settings.feedback.then_some(Buttons::Feedback);
        draft.finish(&shown.text, buttons).await?;
        Ok(shown)
    }

    /// What the thread is called in Slack's list of conversations.
    async fn set_title(&self, question: &Question) {
        let text = self.readable(&question.text);
        let title: String = text.lines().next().unwrap_or_default().chars().take(TITLE_CHARS).collect();
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
    async fn commit(
        &self,
        question: &Question,
        origin: Origin,
        shown: Shown,
        outcome: Outcome,
    ) -> Result<(), Failure> {
        let (tenant_id, seq) = (&self.job.tenant_id, self.job.seq);
        let asked = shown.asked.unwrap_or_else(|| self.readable(&question.text));
        let turns = [self.turn(Role::User, origin, asked), self.turn(Role::Assistant, origin, shown.text)];
        let mut tx = self.fenced().await?;
        db::turns::insert(&mut tx, tenant_id, &self.job.thread, seq, &turns).await?;
        if let Some(Taken { usage, cost_micros }) = &shown.uncharged {
            db::replies::charge(&mut tx, tenant_id, seq, usage, *cost_micros).await?;
        }
        let since_first_word = shown.first_word_at.map(|at| at.elapsed());
        let booked = db::usage::End { outcome, reason: None, since_first_word };
        db::usage::note_end(&mut tx, tenant_id, seq, booked).await?;
        db::replies::drop_text(&mut tx, tenant_id, seq).await?;
        db::events::finish(&mut tx, tenant_id, seq, outcome, None).await?;
        let is_ending = self.is_budget_ending(&mut tx).await?;
        self.audit(&mut tx, Action::Answered, json!({ "model": shown.model })).await?;
        fail_point::reach("end_uncommitted");
        tx.commit().await?;
        fail_point::reach("end_committed");
        if is_ending {
            self.tell_of_budget().await;
        }
        Ok(())
    }

    fn turn(&self, role: Role, origin: Origin, text: String) -> Turn {
        Turn { role, user_id: self.job.user_id.clone(), origin, text }
    }
}
