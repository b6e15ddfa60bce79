//! Whether a model may be asked: one that fails again and again, or wants to be left alone, is not asked for a while,
//! so that the next one is asked at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::ModelError;

/// Failures in a row after which a model is left alone.
const FAILURE_THRESHOLD: u32 = 5;

/// For how long; then one request finds out whether it works again.
const BREAKER_OPEN_DURATION: Duration = Duration::from_secs(5);

/// The longest pause that a model is granted.
const MAX_THROTTLE_DURATION: Duration = Duration::from_secs(300);

/// A circuit breaker of one model.
#[derive(Debug)]
pub(crate) struct Breaker {
    model: String,
    /// Whether a metric tells its state: those of the deployment's models.
    has_metric: bool,
    state: Mutex<BreakerState>,
}

#[derive(Debug, Default)]
struct BreakerState {
    /// In a row.
    failures: u32,
    /// Not asked before this time.
    open_until: Option<Instant>,
    /// It asked for the rest itself, by 429.
    is_throttled: bool,
}

impl Breaker {
    pub(crate) fn new(model: &str) -> Self {
        Self { model: model.to_owned(), has_metric: false, state: Mutex::default() }
    }

    pub(crate) fn with_metric(model: &str) -> Self {
        let breaker = Self { has_metric: true, ..Self::new(model) };
        breaker.set_available_gauge(true);
        breaker
    }

    /// # Errors
    /// The model rests, and how long that will still be.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let mut state = self.lock();
        let Some(until) = state.open_until else { return Ok(()) };
        let after = until.saturating_duration_since(Instant::now());
        if !after.is_zero() {
            let reason = format!("the model {} is left alone for {} s", self.model, after.as_secs() + 1);
            return Err(match state.is_throttled {
                true => ModelError::Throttled { reason, after },
                false => ModelError::Retry { reason, after: Some(after) },
            });
        }
        // This request is the one that finds out; should nothing come of it, the next one is let through in a while.
        state.open_until = (!state.is_throttled).then(|| Instant::now() + BREAKER_OPEN_DURATION);
        Ok(())
    }

    /// It has said something.
    pub(crate) fn record_success(&self) {
        let mut state = self.lock();
        if state.open_until.is_some() {
            tracing::info!("the model {} answers again", self.model);
        }
        *state = BreakerState::default();
        self.set_available_gauge(true);
    }

    /// Takes note of a failure, if it is the model's own and not the request's.
    pub(crate) fn record_failure(&self, failure: &ModelError) {
        match failure {
            ModelError::Throttled { after, .. } => self.open(*after, true),
            ModelError::Retry { .. } | ModelError::Timeout => {
                let failures = {
                    let mut state = self.lock();
                    state.failures += 1;
                    state.failures
                };
                if failures >= FAILURE_THRESHOLD {
                    self.open(BREAKER_OPEN_DURATION, false);
                }
            }
            _ => {}
        }
    }

    fn open(&self, wait: Duration, throttled: bool) {
        let mut state = self.lock();
        state.open_until = Some(Instant::now() + wait.min(MAX_THROTTLE_DURATION));
        state.is_throttled = throttled;
        self.set_available_gauge(false);
        tracing::warn!("the model {} is left alone for {wait:?}", self.model);
    }

    fn set_available_gauge(&self, is_asked: bool) {
        if !self.has_metric {
            return;
        }
        metrics::gauge!("enablebot_model_available", "model" => self.model.clone()).set(u8::from(is_asked));
    }

    fn lock(&self) -> MutexGuard<'_, BreakerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, times: u32) {
        (0..times).for_each(|_| breaker.record_failure(&ModelError::retry("down")));
    }

    #[test]
    fn breaker_opens_after_consecutive_failures() {
        let breaker = Breaker::new("m");
        fail(&breaker, FAILURE_THRESHOLD - 1);
        breaker.record_success();
        fail(&breaker, FAILURE_THRESHOLD - 1);
        assert!(breaker.check().is_ok());
        fail(&breaker, 1);
        assert!(
            matches!(breaker.check(), Err(ModelError::Retry { after: Some(after), .. }) if after <= BREAKER_OPEN_DURATION)
        );
        breaker.record_success();
        assert!(breaker.check().is_ok());
    }

    #[test]
    fn open_breaker_lets_one_probe_through() {
        let breaker = Breaker::new("m");
        fail(&breaker, FAILURE_THRESHOLD);
        breaker.lock().open_until = Some(Instant::now());
        assert!(breaker.check().is_ok());
        assert!(breaker.check().is_err(), "the others wait for what comes of it");
    }

    #[test]
    fn throttle_pause_ends_for_all_requests() {
        let breaker = Breaker::new("m");
        breaker
            .record_failure(&ModelError::Throttled { reason: "429".into(), after: Duration::from_secs(9) });
        assert!(matches!(breaker.check(), Err(ModelError::Throttled { .. })));
        breaker.lock().open_until = Some(Instant::now());
        assert!(breaker.check().is_ok() && breaker.check().is_ok());
    }

    #[test]
    fn request_errors_do_not_trip_breaker() {
        let breaker = Breaker::new("m");
        (0..9).for_each(|_| breaker.record_failure(&ModelError::InvalidRequest("400".into())));
        assert!(breaker.check().is_ok());
    }
}
