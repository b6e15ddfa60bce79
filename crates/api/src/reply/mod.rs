//! A message, from what is remembered to what stands in Slack: history → model → message → one transaction.

mod attachments;
pub(crate) mod authorize;
mod channel_policy;
mod charging;
pub(crate) mod completion;
mod pipeline;
pub(crate) mod prompt;
mod recovery;
mod slack_message;
mod suspended;
mod untrusted_text;

use std::sync::Arc;
use std::time::Duration;

use cache::Admission;
use db::replies::ReplyProgress;
use db::usage::UsageOutcome;
use models::{EventOutcome, FileRef, InboundMessage, TeamId};
use slack::{BotAuth, Buttons, SlackError, ThreadStatus};
use tokio::time::sleep;
use tracing::Instrument;

use crate::app_metrics::count_rate_limited;
use crate::job_context::{JobContext, OutcomeWithReason};
use crate::job_error::JobError;
use crate::trace_spans;
use authorize::Requester;
use slack_message::StreamingMessage;

/// How often a status is settled that Slack holds back.
const MAX_STATUS_CLEANUP_ATTEMPTS: u32 = 20;

/// Said behind a partial answer.
const BROKEN_OFF_TEXT: &str = "_My answer breaks off here, because something I depend on is not working._";

/// A person's message, as far as an answer needs it.
pub(crate) struct IncomingMessage {
    text: String,
    user_team_id: Option<TeamId>,
    is_dm: bool,
    is_ext_shared: bool,
    files: Vec<FileRef>,
}

impl IncomingMessage {
    pub(crate) fn new(message: InboundMessage) -> Self {
        Self {
            text: message.text,
            user_team_id: message.user_team_id,
            is_dm: message.is_dm,
            is_ext_shared: message.is_ext_shared,
            files: message.files,
        }
    }
}

impl JobContext<'_> {
    /// Answers a message, unless it was stopped meanwhile, its workspace is suspended, or its writer may not ask.
    pub(crate) async fn answer_message(&self, question: IncomingMessage) -> Result<EventOutcome, JobError> {
        if self.job.is_stop_requested {
            return self.finish_stopped(&question).await;
        }
        if self.installed().suspended_reason.is_some() {
            return self.finish_suspended(&question).await;
        }
        if let Some(ending) = self.check_channel(&question).await? {
            return self.finish_unanswered(ending).await;
        }
        let known = match self.authorize_requester(&question).await? {
            Requester::Denied(reason) => {
                return self.finish_unanswered((EventOutcome::Refused, Some(reason))).await;
            }
            Requester::Allowed(person) => Some(person),
            Requester::Unknown => None,
        };
        self.acquire_rate_limit().await?;
        let answered = match known {
            Some(person) => self.answer_known_person(&question, person).await,
            None => self.answer_new_person(&question).await,
        };
        match answered {
            Err(JobError::OverBudget(refusal)) => self.post_over_budget(&question, refusal).await,
            answered => answered,
        }
    }

    /// What is above the limits waits; an answer that was begun goes on.
    async fn acquire_rate_limit(&self) -> Result<(), JobError> {
        if self.job.is_started {
            return Ok(());
        }
        let turn = self.app.rate_limiter.reserve(&self.job.tenant_id, self.job.has_rate_limit_slot).await;
        count_rate_limited(turn);
        match turn {
            Admission::Allowed => Ok(()),
            Admission::QueuedFor(after) => Err(JobError::RateLimited { after }),
            // Not all at once.
            Admission::RetryAfter(after) => Err(JobError::RateLimited {
                after: after + Duration::from_secs(1).mul_f64(rand::random::<f64>()),
            }),
        }
    }

    /// Says in the answer's message, or in a new one, that there will be none, or behind what there is of it that it
    /// breaks off there, and offers another try.
    pub(crate) async fn post_failure_notice(
        &self,
        question: IncomingMessage,
        sentence: Option<&'static str>,
    ) -> Result<(), JobError> {
        let told = match sentence {
            Some(sentence) => {
                let progress = self.load_progress().await?;
                let mut draft = StreamingMessage::resume(self, &question, &progress).await?;
                match progress.partial_text {
                    Some(text) => {
                        let text = format!("{text}\n\n{BROKEN_OFF_TEXT}");
                        match draft.finish(&text, Some(Buttons::TryAgain)).await {
                            // It may be these words that Slack does not take.
                            Err(JobError::Slack(SlackError::Api { .. })) => {
                                let mut draft =
                                    StreamingMessage::resume(self, &question, &self.load_progress().await?)
                                        .await?;
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
        self.set_status(ThreadStatus::Active).await;
        told
    }

    /// An answer was stopped while nobody worked on it: what stands there stays, and no stream is left open.
    async fn finish_stopped(&self, question: &IncomingMessage) -> Result<EventOutcome, JobError> {
        StreamingMessage::resume(self, question, &self.load_progress().await?).await?;
        self.set_status(ThreadStatus::Active).await;
        self.finish_unanswered((EventOutcome::Stopped, Some("stopped before it was answered"))).await
    }

    /// Ends a question without an answer; one that was put to the bot is booked.
    async fn finish_unanswered(
        &self,
        (outcome, reason): OutcomeWithReason,
    ) -> Result<EventOutcome, JobError> {
        let (tenant_id, seq) = (&self.job.tenant_id, self.job.seq);
        let mut tx = self.begin_fenced().await?;
        if outcome != EventOutcome::NotForBot {
            let end = UsageOutcome { outcome, reason, since_first_token: None };
            db::usage::record(&mut tx, tenant_id, seq, end).await?;
        }
        db::events::finish(&mut tx, tenant_id, seq, outcome, reason).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    async fn load_progress(&self) -> Result<ReplyProgress, JobError> {
        let mut tx = self.app.db.begin(&self.job.tenant_id).await?;
        Ok(db::replies::find(&mut tx, &self.job.tenant_id, self.job.seq).await?)
    }

    /// People see it, but no answer depends on it.
    async fn set_status(&self, status: ThreadStatus) {
        let thread = &self.job.thread;
        match self.app.slack.set_status(&self.bot, &thread.channel_id, &thread.thread_ts, status).await {
            Ok(()) => {}
            Err(SlackError::RateLimited { retry_after, .. }) if status == ThreadStatus::Active => {
                self.retry_status_later(retry_after);
            }
            Err(error) => tracing::warn!(error = %error, "the status could not be set"),
        }
    }

    /// The end of the event does not wait for Slack's limits, but nobody is to read "thinking" below an answer for the
    /// hour after which Slack itself forgets it.
    fn retry_status_later(&self, mut pause: Duration) {
        let Ok(permit) = Arc::clone(&self.app.status_cleanup).try_acquire_owned() else { return };
        // By then the thread is let go, and that is no reason to leave it so.
        let bot = BotAuth { send_guard: None, ..self.bot.clone() };
        let (slack, thread) = (self.app.slack.clone(), self.job.thread.clone());
        let settled = async move {
            let _permit = permit;
            for _ in 0..MAX_STATUS_CLEANUP_ATTEMPTS {
                sleep(pause.mul_f64(1.0 + rand::random::<f64>())).await;
                let set =
                    slack.set_status(&bot, &thread.channel_id, &thread.thread_ts, ThreadStatus::Active).await;
                match set {
                    Err(SlackError::RateLimited { retry_after, .. }) => pause = retry_after,
                    Err(error) => return tracing::warn!(error = %error, "the status could not be settled"),
                    Ok(()) => return,
                }
            }
        };
        tokio::spawn(settled.instrument(trace_spans::task("settle status")));
    }

    fn readable_text(&self, text: &str) -> String {
        slack::unescape_message(text, self.installation.bot_user_id.as_str())
    }
}
