//! Whether a model may be asked: one that fails again and again, or wants to be left alone, is not asked for a while,
//! so that the next one is asked at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::ModelError;

/// Failures in a row after which a model is left alone.
const FAILURES: u32 = 5;

/// For how long; then one request finds out whether it works again.
const REST: Duration = Duration::from_secs(5);

/// The longest pause that a model is granted.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A circuit breaker of one model.
#[derive(Debug)]
pub(crate) struct Breaker {
    model: String,
    /// Whether a metric tells its state: those of the deployment's models.
    is_measured: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// Not asked before this time.
    rests_until: Option<Instant>,
    /// It asked for the rest itself, by 429.
    throttled: bool,
}

impl Breaker {
    pub(crate) fn new(model: &str) -> Self {
        Self { model: model.to_owned(), is_measured: false, state: Mutex::default() }
    }

    pub(crate) fn measured(model: &str) -> Self {
        let breaker = Self { is_measured: true, ..Self::new(model) };
        breaker.measure(true);
        breaker
    }

    /// # Errors
    /// The model rests, and how long that will still be.
    pub(crate) fn admit(&self) -> Result<(), ModelError> {
        let mut state = self.lock();
        let Some(until) = state.rests_until else { return Ok(()) };
        let after = until.saturating_duration_since(Instant::now());
        if !after.is_zero() {
            let reason = format!("the model {} is left alone for {} s", self.model, after.as_secs() + 1);
            return Err(match state.throttled {
                true => ModelError::Throttled { reason, after },
                false => ModelError::Retry { reason, after: Some(after) },
            });
        }
        // This request is the one that finds out; should nothing come of it, the next one is let through in a while.
        state.rests_until = (!state.throttled).then(|| Instant::now() + REST);
        Ok(())
    }

    /// It has said something.
    pub(crate) fn succeeded(&self) {
        let mut state = self.lock();
        if state.rests_until.is_some() {
            tracing::info!("the model {} answers again", self.model);
        }
        *state = State::default();
        self.measure(true);
    }

    /// Takes note of a failure, if it is the model's own and not the request's.
    pub(crate) fn failed(&self, failure: &ModelError) {
        match failure {
            ModelError::Throttled { after, .. } => self.rest(*after, true),
            ModelError::Retry { .. } | ModelError::Silent => {
                let failures = {
                    let mut state = self.lock();
                    state.failures += 1;
                    state.failures
                };
                if failures >= FAILURES {
                    self.rest(REST, false);
                }
            }
            _ => {}
        }
    }

    fn rest(&self, wait: Duration, throttled: bool) {
        let mut state = self.lock();
        state.rests_until = Some(Instant::now() + wait.min(LONGEST_WAIT));
        state.throttled = throttled;
        self.measure(false);
        tracing::warn!("the model {} is left alone for {wait:?}", self.model);
    }

    fn measure(&self, is_asked: bool) {
        if !self.is_measured {
            return;
        }
        metrics::gauge!("enablebot_model_available", "model" => self.model.clone()).set(u8::from(is_asked));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, times: u32) {
        (0..times).for_each(|_| breaker.failed(&ModelError::retry("down")));
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_success() {
        let breaker = Breaker::new("m");
        fail(&breaker, FAILURES - 1);
        breaker.succeeded();
        fail(&breaker, FAILURES - 1);
        assert!(breaker.admit().is_ok());
        fail(&breaker, 1);
        assert!(
            matches!(breaker.admit(), Err(ModelError::Retry { after: Some(after), .. }) if after <= REST)
        );
        breaker.succeeded();
        assert!(breaker.admit().is_ok());
    }

    #[test]
    fn after_a_rest_one_request_finds_out() {
        let breaker = Breaker::new("m");
        fail(&breaker, FAILURES);
        breaker.lock().rests_until = Some(Instant::now());
        assert!(breaker.admit().is_ok());
        assert!(breaker.admit().is_err(), "the others wait for what comes of it");
    }

    #[test]
    fn a_model_that_asks_for_a_pause_gets_it_and_is_then_asked_by_all() {
        let breaker = Breaker::new("m");
        breaker.failed(&ModelError::Throttled { reason: "429".into(), after: Duration::from_secs(9) });
        assert!(matches!(breaker.admit(), Err(ModelError::Throttled { .. })));
        breaker.lock().rests_until = Some(Instant::now());
        assert!(breaker.admit().is_ok() && breaker.admit().is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_request_says_nothing_about_the_model() {
        let breaker = Breaker::new("m");
        (0..9).for_each(|_| breaker.failed(&ModelError::Refused("400".into())));
        assert!(breaker.admit().is_ok());
    }
}
