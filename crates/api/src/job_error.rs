//! Why an event is not done, and what follows: said where it happens, acted on in `work` and `worker`.

use std::time::Duration;

use db::DbError;
use llm::ModelError;
use slack::SlackError;

use crate::budget::BudgetDenied;

/// Why an event is not done.
#[derive(Debug)]
pub(crate) enum JobError {
    /// Later it may work.
    Retry {
        /// For the log and the event.
        reason: String,
        /// Not before this time, if somebody said so.
        after: Option<Duration>,
    },
    /// It will work later: an upstream asked for a pause. Such a try does not count.
    Throttled {
        /// For the log and the event.
        reason: String,
        /// How long the pause is.
        after: Duration,
    },
    /// Above `RATE_LIMIT_*`; nothing was done yet.
    RateLimited {
        /// When its turn comes, from now.
        after: Duration,
    },
    /// There is no money left for another call of the model.
    OverBudget(BudgetDenied),
    /// It will not work however often it is tried.
    Fatal {
        /// For the log and the event.
        reason: String,
        /// For the person who asked, where they can be told.
        notice: Option<&'static str>,
    },
    /// Slack did not do it; what that means for the installation is for `work` to note.
    Slack(SlackError),
    /// Another worker has the thread by now.
    LeaseLost,
}

/// What people read when something was tried for long enough.
pub(crate) const RETRIES_EXHAUSTED_TEXT: &str = "Sorry, I could not answer this: I tried for a while, but something I depend on is not working. Please ask again later.";

pub(crate) const SLACK_REJECTED_TEXT: &str =
    "Sorry, Slack did not take my answer. Please ask again, perhaps in other words.";

/// A command is always answered, since its address takes an answer where nothing else does.
pub(crate) const COMMAND_FAILED_TEXT: &str =
    "Sorry, that did not work. `/enablebot status` says what I am missing, as far as I know.";

pub(crate) const MODEL_REJECTED_TEXT: &str =
    "Sorry, the model did not take this message. It may be too long, or in a form it does not read.";

pub(crate) const MODEL_MISCONFIGURED_TEXT: &str =
    "Sorry, I cannot reach my model the way I am set up. Please tell whoever runs me; the log says more.";

impl JobError {
    /// To be tried again.
    pub(crate) fn retry(reason: impl ToString) -> Self {
        Self::Retry { reason: reason.to_string(), after: None }
    }

    /// To be given up, with a sentence for the person.
    pub(crate) fn fatal(reason: impl ToString, sentence: &'static str) -> Self {
        Self::Fatal { reason: reason.to_string(), notice: Some(sentence) }
    }

    /// To be given up; nobody can be told.
    pub(crate) fn fatal_silent(reason: impl ToString) -> Self {
        Self::Fatal { reason: reason.to_string(), notice: None }
    }
}

impl From<DbError> for JobError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::LeaseLost => Self::LeaseLost,
            DbError::NotInstalled => Self::fatal_silent(error),
            // A key that is missing can be put back.
            error => Self::retry(error),
        }
    }
}

impl From<ModelError> for JobError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Retry { reason, after } => Self::Retry { reason, after },
            ModelError::Timeout => Self::retry(error),
            ModelError::Throttled { reason, after } => Self::Throttled { reason, after },
            ModelError::InvalidRequest(reason) => Self::fatal(reason, MODEL_REJECTED_TEXT),
            ModelError::Misconfigured(reason) => Self::fatal(reason, MODEL_MISCONFIGURED_TEXT),
        }
    }
}

impl From<SlackError> for JobError {
    fn from(error: SlackError) -> Self {
        match error {
            SlackError::LeaseLost { .. } => Self::LeaseLost,
            error => Self::Slack(error),
        }
    }
}
