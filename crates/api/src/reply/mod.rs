//! A message, from what is remembered to what stands in Slack: history → model → message → one transaction.

mod answer;
pub(crate) mod asker;
pub(crate) mod asking;
mod budget;
mod draft;
mod earlier;
mod fence;
mod files;
mod place;
pub(crate) mod prompt;
mod suspended;

use std::sync::Arc;
use std::time::Duration;

use cache::Turn;
use db::replies::Progress;
use db::usage::End;
use models::{FileRef, Message, Outcome, TeamId};
use slack::{Bot, Buttons, SlackError, Status};
use tokio::time::sleep;
use tracing::Instrument;

use crate::failure::Failure;
use crate::spans;
use crate::work::{Ending, Work};
use asker::Asker;
use draft::Draft;

/// How often a status is settled that Slack holds back.
const SETTLING_TRIES: u32 = 20;

/// Said behind a partial answer.
const BROKEN_OFF: &str = "_My answer breaks off here, because something I depend on is not working._";

/// A person's message, as far as an answer needs it.
pub(crate) struct Question {
    text: String,
    user_team_id: Option<TeamId>,
    is_dm: bool,
    is_ext_shared: bool,
    files: Vec<FileRef>,
}

impl Question {
    pub(crate) fn new(message: Message) -> Self {
        Self {
            text: message.text,
            user_team_id: message.user_team_id,
            is_dm: message.is_dm,
            is_ext_shared: message.is_ext_shared,
            files: message.files,
        }
    }
}

impl Work<'_> {
    /// Answers a message, unless it was stopped meanwhile, its workspace is suspended, or its writer may not ask.
    pub(crate) async fn answer(&self, question: Question) -> Result<Outcome, Failure> {
        if self.job.stop_requested {
            return self.settle_stopped(&question).await;
        }
        if self.installed().suspended_reason.is_some() {
            return self.settle_suspended(&question).await;
        }
        if let Some(ending) = self.find_hindrance(&question).await? {
            return self.refuse(ending).await;
        }
        let known = match self.find_asker(&question).await? {
            Asker::Refused(reason) => return self.refuse((Outcome::Refused, Some(reason))).await,
            Asker::Welcome(person) => Some(person),
            Asker::New => None,
        };
        self.take_turn().await?;
        let answered = match known {
            Some(person) => self.answer_known(&question, person).await,
            None => self.answer_new(&question).await,
        };
        match answered {
            Err(Failure::OverBudget(refusal)) => self.say_over_budget(&question, refusal).await,
            answered => answered,
        }
    }

    /// What is above the limits waits; an answer that was begun goes on.
    async fn take_turn(&self) -> Result<(), Failure> {
        if self.job.is_begun {
            return Ok(());
        }
        match self.app.limits.take_turn(&self.job.tenant_id, self.job.has_turn).await {
            Turn::Now => Ok(()),
            Turn::At(after) => Err(Failure::NotItsTurn { after }),
            // Not all at once.
            Turn::Later(after) => Err(Failure::NotItsTurn {
                after: after + Duration::from_secs(1).mul_f64(rand::random::<f64>()),
            }),
        }
    }

    /// Says in the answer's message, or in a new one, that there will be none, or behind what there is of it that it
    /// breaks off there, and offers another try.
    pub(crate) async fn apologise(
        &self,
        question: Question,
        sentence: Option<&'static str>,
    ) -> Result<(), Failure> {
        let told = match sentence {
            Some(sentence) => {
                let progress = self.progress().await?;
                let mut draft = Draft::resume(self, &question, &progress).await?;
                match progress.text_so_far {
                    Some(text) => {
                        let text = format!("{text}\n\n{BROKEN_OFF}");
                        match draft.finish(&text, Some(Buttons::TryAgain)).await {
                            // It may be these words that Slack does not take.
                            Err(Failure::Slack(SlackError::Refused { .. })) => {
                                let mut draft =
                                    Draft::resume(self, &question, &self.progress().await?).await?;
                                draft.replace(sentence, Some(Buttons::TryAgain)).await
                            }
                            told => told,
                        }
                    }
                    None => draft.replace(sentence, Some(Buttons::TryAgain)).await,
                }
            }
            None => Ok(()),
        };
        self.set_status(Status::Active).await;
        told
    }

    /// An answer was stopped while nobody worked on it: what stands there stays, and no stream is left open.
    async fn settle_stopped(&self, question: &Question) -> Result<Outcome, Failure> {
        Draft::resume(self, question, &self.progress().await?).await?;
        self.set_status(Status::Active).await;
        self.refuse((Outcome::Stopped, Some("stopped before it was answered"))).await
    }

    /// Ends a question without an answer; one that was put to the bot is booked.
    async fn refuse(&self, (outcome, reason): Ending) -> Result<Outcome, Failure> {
        let (tenant_id, seq) = (&self.job.tenant_id, self.job.seq);
        let mut tx = self.fenced().await?;
        if outcome != Outcome::NotAddressed {
            let end = End { outcome, reason, since_first_word: None };
            db::usage::note_end(&mut tx, tenant_id, seq, end).await?;
        }
        db::events::finish(&mut tx, tenant_id, seq, outcome, reason).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    async fn progress(&self) -> Result<Progress, Failure> {
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        Ok(db::replies::find(&mut tx, &self.job.tenant_id, self.job.seq).await?)
    }

    /// People see it, but no answer depends on it.
    async fn set_status(&self, status: Status) {
        let thread = &self.job.thread;
        match self.app.slack.set_status(&self.bot, &thread.channel_id, &thread.thread_ts, status).await {
            Ok(()) => {}
            Err(SlackError::RateLimited { retry_after, .. }) if status == Status::Active => {
                self.settle_later(retry_after);
            }
            Err(error) => tracing::warn!(error = %error, "the status could not be set"),
        }
    }

    /// The end of the event does not wait for Slack's limits, but nobody is to read "thinking" below an answer for the
    /// hour after which Slack itself forgets it.
    fn settle_later(&self, mut pause: Duration) {
        let Ok(permit) = Arc::clone(&self.app.settling).try_acquire_owned() else { return };
        // By then the thread is let go, and that is no reason to leave it so.
        let bot = Bot { hold: None, ..self.bot.clone() };
        let (slack, thread) = (self.app.slack.clone(), self.job.thread.clone());
        let settled = async move {
            let _permit = permit;
            for _ in 0..SETTLING_TRIES {
                sleep(pause.mul_f64(1.0 + rand::random::<f64>())).await;
                let set = slack.set_status(&bot, &thread.channel_id, &thread.thread_ts, Status::Active).await;
                match set {
                    Err(SlackError::RateLimited { retry_after, .. }) => pause = retry_after,
                    Err(error) => return tracing::warn!(error = %error, "the status could not be settled"),
                    Ok(()) => return,
                }
            }
        };
        tokio::spawn(settled.instrument(spans::task("settle status")));
    }

    fn readable(&self, text: &str) -> String {
        slack::readable(text, self.installation.bot_user_id.as_str())
    }
}
