//! The errors that end a try of an event. They are raised where they happen, and handled by
//! `worker::failure`.

use std::time::Duration;

use assistant::budget::BudgetDenied;
use db::DbError;
use llm::ModelError;
use slack::SlackError;

/// The reason why a try of an event ended without an outcome.
#[derive(Debug)]
pub(crate) enum JobError {
    /// A later try may succeed.
    Retry {
        /// For the log and the event.
        reason: String,
        /// The earliest time of the next try, if an upstream named one.
        after: Option<Duration>,
    },
    /// An upstream asked for a pause. Such a try does not count.
    Throttled {
        /// For the log and the event.
        reason: String,
        /// The length of the pause.
        after: Duration,
    },
    /// The event is above `RATE_LIMIT_*`; nothing was done yet.
    RateLimited {
        /// The time until it is admitted.
        after: Duration,
    },
    /// The budget does not cover another request to the model.
    OverBudget(BudgetDenied),
    /// No try can succeed.
    Fatal {
        /// For the log and the event.
        reason: String,
        /// For the person who asked, if they can be told.
        notice: Option<&'static str>,
    },
    /// Slack refused a call. [`crate::job`] classifies it before the worker handles it.
    Slack(SlackError),
    /// Another worker holds the thread.
    LeaseLost,
}

/// The notice after the last of several tries.
pub(crate) const RETRIES_EXHAUSTED_TEXT: &str = "Sorry, I could not answer this. I tried several times, but \
     a service I depend on is not working. Please ask again later.";

/// The notice after Slack refused the reply.
pub(crate) const SLACK_REJECTED_TEXT: &str = "Slack rejected my reply. Please try again.";

/// The notice after a command failed. Its response URL accepts it where nothing else is possible.
pub(crate) const COMMAND_FAILED_TEXT: &str =
    "Sorry, that did not work. `/enablebot status` shows what is wrong, as far as I know.";

/// The notice after the model refused the message.
pub(crate) const MODEL_REJECTED_TEXT: &str =
    "The model couldn't process this message. It may be too long or in an unsupported format.";

/// The notice after the model refused the credentials or the model's name.
pub(crate) const MODEL_MISCONFIGURED_TEXT: &str = "Sorry, I cannot reach my model because of a configuration \
     problem. Please tell the operator of this server; the log has the details.";

impl JobError {
    /// Returns an error after which the event is retried.
    pub(crate) fn retry(reason: impl ToString) -> Self {
        Self::Retry { reason: reason.to_string(), after: None }
    }

    /// Returns an error that ends the event, with a notice for the person.
    pub(crate) fn fatal(reason: impl ToString, notice: &'static str) -> Self {
        Self::Fatal { reason: reason.to_string(), notice: Some(notice) }
    }

    /// Returns an error that ends the event without a notice.
    pub(crate) fn fatal_silent(reason: impl ToString) -> Self {
        Self::Fatal { reason: reason.to_string(), notice: None }
    }
}

impl From<DbError> for JobError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::LeaseLost => Self::LeaseLost,
            DbError::NotInstalled => Self::fatal_silent(error),
            // This includes a missing master key, which can be put back.
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
