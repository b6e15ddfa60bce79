//! The answer itself: asked of the model, shown as it comes, kept as a whole, and booked in one transaction.

use std::time::{Duration, Instant};

use db::audit_log::Action;
use llm::{Answer, ModelError};
use models::{Origin, Outcome, Person, Role, Turn};
use serde_json::json;
use slack::{Buttons, Inert, Status};
use tokio::time::timeout;

use super::Question;
use super::asker::unknown;
use super::draft::Draft;
use super::prompt::Prompt;
use crate::fail_point;
use crate::failure::Failure;
use crate::money::{Purse, Taken};
use crate::work::Work;

const EMPTY: &str = "Sorry, the model had nothing to say to this. Please ask in other words.";

const STOPPED: &str = "_Stopped._";

/// The longest answer that is taken, in bytes; a model that goes on beyond it is cut.
pub(crate) const MAX_ANSWER_BYTES: usize = 400_000;

/// How long an answer's end waits for Slack to say who asked.
const LEARNING: Duration = Duration::from_secs(3);

/// Characters of a question that become its thread's title.
const TITLE_CHARS: usize = 80;

/// An answer that stands in Slack.
struct Shown {
    text: String,
    model: String,
    /// What the model was asked, as it is remembered; `None` where an earlier try knew.
    asked: Option<String>,
    /// Whether it begins its thread, as far as this try knows.
    is_first: bool,
    stopped: bool,
    /// What a call took that is not charged yet.
    uncharged: Option<Taken>,
    /// When this try had its first word.
    first_word_at: Option<Instant>,
}

/// Why no more of an answer is read.
enum End {
    Reached,
    Stopped,
    /// The replica stops.
    Leaving,
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
        self.commit(question, origin, shown, outcome).await?;
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

    /// Asks the model and shows its words as they come; the whole answer is kept before anything else is done with it,
    /// so that it is paid once.
    async fn ask(
        &self,
        mut prompt: Prompt,
        mut text: String,
        draft: &mut Draft<'_>,
    ) -> Result<Shown, Failure> {
        prompt.go_on_behind(&text);
        let said_before = text.len();
        let purse = self.reserve(&prompt.messages).await?;
        let asked_at = Instant::now();
        let mut answer = match self.stop.run_until_cancelled(self.open(&purse, &mut prompt)).await {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => {
                self.give_back(&purse).await?;
                return Err(error.into());
            }
            None => return Ok(stopped(prompt, text, None, None)),
        };
        let mut first_word_at = None;
        let read = self.read(&mut answer, &mut first_word_at, &mut text, draft).await;
        if let Some(at) = first_word_at {
            metrics::histogram!("enablebot_reply_first_token_seconds").record((at - asked_at).as_secs_f64());
        }
        let taken = purse.taken(answer.usage(), &prompt.messages, &text[said_before..]);
        self.app.model.count(&taken.usage);
        match read {
            Ok(End::Reached) => {}
            Ok(End::Stopped) => return Ok(stopped(prompt, text, Some(taken), first_word_at)),
            Ok(End::Leaving) => {
                self.keep(draft.worth_keeping(&text), &purse, &taken).await?;
                // The lease is taken away in a moment, and with it this work ends.
                std::future::pending().await
            }
            Err(failure) => {
                self.keep(draft.worth_keeping(&text), &purse, &taken).await?;
                return Err(failure);
            }
        }
        if text.trim().is_empty() {
            self.keep("", &purse, &taken).await?;
            return Err(Failure::give_up("the model's answer was empty", EMPTY));
        }
        for remark in answer.closing_remark().map(str::to_owned).into_iter().chain(prompt.remark()) {
            text.push_str("\n\n");
            text.push_str(&remark);
        }
        self.keep_whole(&text, &purse, &taken).await?;
        Ok(Shown {
            text,
            model: taken.usage.model,
            asked: Some(prompt.asked),
            is_first: prompt.is_first,
            stopped: false,
            uncharged: None,
            first_word_at,
        })
    }

    /// A model that takes no images is asked without them.
    async fn open(&self, purse: &Purse, prompt: &mut Prompt) -> Result<Answer, ModelError> {
        match self.app.model.ask(&purse.choice, &prompt.messages).await {
            Err(ModelError::Refused(_)) if prompt.has_images() => {
                prompt.drop_images();
                self.app.model.ask(&purse.choice, &prompt.messages).await
            }
            asked => asked,
        }
    }

    async fn keep_whole(&self, text: &str, purse: &Purse, taken: &Taken) -> Result<(), Failure> {
        fail_point::reach("answer_made");
        let (tenant_id, seq) = (&self.job.tenant_id, self.job.seq);
        let mut tx = self.fenced().await?;
        db::replies::set_answer(&mut tx, tenant_id, seq, text, &taken.usage, taken.cost_micros).await?;
        self.end_call(&mut tx, purse).await?;
        tx.commit().await?;
        fail_point::reach("answer_kept");
        Ok(())
    }

    /// Reads the answer to its end behind the text so far, and shows it as it grows.
    async fn read(
        &self,
        answer: &mut Answer,
        first_word_at: &mut Option<Instant>,
        text: &mut String,
        draft: &mut Draft<'_>,
    ) -> Result<End, Failure> {
        let mut inert = Inert::default();
        // What was said before decides how the rest reads: it may stop within a block of code.
        inert.push(text);
        inert.finish();
        loop {
            let words = tokio::select! {
                words = answer.next() => words?,
                () = self.stop.cancelled() => {
                    text.push_str(&inert.finish());
                    return Ok(End::Stopped);
                }
                () = self.app.leaving.cancelled() => return Ok(End::Leaving),
            };
            let Some(mut words) = words else { break };
            if first_word_at.is_none() {
                *first_word_at = Some(Instant::now());
                if text.ends_with([' ', '\n']) {
                    words = words.trim_start_matches(' ').to_owned();
                }
            }
            text.push_str(&inert.push(&words));
            if text.len() > MAX_ANSWER_BYTES {
                break;
            }
            draft.show(text).await?;
        }
        text.push_str(&inert.finish());
        Ok(End::Reached)
    }

    /// Keeps what there is of an answer that breaks off, for whoever goes on with it, and charges it.
    async fn keep(&self, text: &str, purse: &Purse, taken: &Taken) -> Result<(), Failure> {
        let mut tx = self.fenced().await?;
        if !text.trim().is_empty() {
            db::replies::set_text_so_far(&mut tx, &self.job.tenant_id, self.job.seq, text).await?;
        }
        self.charge(&mut tx, purse, taken).await?;
        Ok(tx.commit().await?)
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

fn stopped(
    prompt: Prompt,
    mut text: String,
    uncharged: Option<Taken>,
    first_word_at: Option<Instant>,
) -> Shown {
    if !text.trim().is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(STOPPED);
    let model = uncharged.as_ref().map(|taken| taken.usage.model.clone()).unwrap_or_default();
    let (asked, is_first) = (Some(prompt.asked), prompt.is_first);
    Shown { text, model, asked, is_first, stopped: true, uncharged, first_word_at }
}
