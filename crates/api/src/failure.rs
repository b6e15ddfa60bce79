//! Why an event is not done, and what follows: said where it happens, acted on in `work` and `worker`.

use std::time::Duration;

use db::DbError;
use llm::ModelError;
use slack::SlackError;

use crate::money::Refusal;

/// Why an event is not done.
#[derive(Debug)]
pub(crate) enum Failure {
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
    NotItsTurn {
        /// When its turn comes, from now.
        after: Duration,
    },
    /// There is no money left for another call of the model.
    OverBudget(Refusal),
    /// It will not work however often it is tried.
    GiveUp {
        /// For the log and the event.
        reason: String,
        /// For the person who asked, where they can be told.
        sentence: Option<&'static str>,
    },
    /// Slack did not do it; what that means for the installation is for `work` to note.
    Slack(SlackError),
    /// Another worker has the thread by now.
    LeaseLost,
}

/// What people read when something was tried for long enough.
pub(crate) const OUT_OF_TRIES: &str = "Sorry, I could not answer this: I tried for a while, but something I depend on is not working. Please ask again later.";

pub(crate) const SLACK_REFUSED: &str =
    "Sorry, Slack did not take my answer. Please ask again, perhaps in other words.";

/// A command is always answered, since its address takes an answer where nothing else does.
pub(crate) const COMMAND_FAILED: &str =
    "Sorry, that did not work. `/enablebot status` says what I am missing, as far as I know.";

pub(crate) const MODEL_REFUSED: &str =
    "Sorry, the model did not take this message. It may be too long, or in a form it does not read.";

pub(crate) const MODEL_WRONG: &str =
    "Sorry, I cannot reach my model the way I am set up. Please tell whoever runs me; the log says more.";

impl Failure {
    /// To be tried again.
    pub(crate) fn retry(reason: impl ToString) -> Self {
        Self::Retry { reason: reason.to_string(), after: None }
    }

    /// To be given up, with a sentence for the person.
    pub(crate) fn give_up(reason: impl ToString, sentence: &'static str) -> Self {
        Self::GiveUp { reason: reason.to_string(), sentence: Some(sentence) }
    }

    /// To be given up; nobody can be told.
    pub(crate) fn give_up_silently(reason: impl ToString) -> Self {
        Self::GiveUp { reason: reason.to_string(), sentence: None }
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        match error {
            DbError::LeaseLost => Self::LeaseLost,
            DbError::NotInstalled => Self::give_up_silently(error),
            // A key that is missing can be put back.
            error => Self::retry(error),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Retry { reason, after } => Self::Retry { reason, after },
            ModelError::Silent => Self::retry(error),
            ModelError::Throttled { reason, after } => Self::Throttled { reason, after },
            ModelError::Refused(reason) => Self::give_up(reason, MODEL_REFUSED),
            ModelError::WrongSetup(reason) => Self::give_up(reason, MODEL_WRONG),
        }
    }
}

impl From<SlackError> for Failure {
    fn from(error: SlackError) -> Self {
        match error {
            SlackError::NotSent { .. } => Self::LeaseLost,
            error => Self::Slack(error),
        }
    }
}
