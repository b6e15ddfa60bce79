//! A circuit breaker per model: a model that fails repeatedly or throttles is skipped for a while, so that
//! requests go to the next model at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::ModelError;

/// Consecutive failures after which the breaker opens.
const FAILURE_THRESHOLD: u32 = 5;

/// The time that the breaker stays open; then one request probes whether the model works again.
const BREAKER_OPEN_DURATION: Duration = Duration::from_secs(5);

/// The longest pause that a model can ask for with 429.
const MAX_THROTTLE_DURATION: Duration = Duration::from_secs(300);

/// The circuit breaker of one model.
#[derive(Debug)]
pub(crate) struct Breaker {
    model: String,
    /// True for the deployment's models, whose state is exported as a metric.
    has_metric: bool,
    state: Mutex<BreakerState>,
}

#[derive(Debug, Default)]
struct BreakerState {
    /// Consecutive failures.
    failures: u32,
    /// The time before which no request is sent.
    open_until: Option<Instant>,
    /// True if the model asked for the pause with 429.
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

    /// Lets a request through, unless the breaker is open.
    ///
    /// # Errors
    /// The breaker is open; the error says for how long.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let mut state = self.lock();
        let Some(until) = state.open_until else { return Ok(()) };
        let after = until.saturating_duration_since(Instant::now());
        if !after.is_zero() {
            let reason = format!("the model {} is skipped for {} s", self.model, after.as_secs() + 1);
            return Err(match state.is_throttled {
                true => ModelError::Throttled { reason, after },
                false => ModelError::Retry { reason, after: Some(after) },
            });
        }
        // This request is the probe. If it never reports back, another one is let through later.
        state.open_until = (!state.is_throttled).then(|| Instant::now() + BREAKER_OPEN_DURATION);
        Ok(())
    }

    /// Closes the breaker: the model responded.
    pub(crate) fn record_success(&self) {
        let mut state = self.lock();
        if state.open_until.is_some() {
            tracing::info!("model available again: {}", self.model);
        }
        *state = BreakerState::default();
        self.set_available_gauge(true);
    }

    /// Counts a failure, if the model caused it and not the request.
    pub(crate) fn record_failure(&self, error: &ModelError) {
        match error {
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

    fn open(&self, duration: Duration, is_throttled: bool) {
        let mut state = self.lock();
        state.open_until = Some(Instant::now() + duration.min(MAX_THROTTLE_DURATION));
        state.is_throttled = is_throttled;
        self.set_available_gauge(false);
        tracing::warn!("circuit breaker opened for {:.1} s: {}", duration.as_secs_f64(), self.model);
    }

    fn set_available_gauge(&self, is_available: bool) {
        if !self.has_metric {
            return;
        }
        metrics::gauge!("enablebot_model_available", "model" => self.model.clone())
            .set(u8::from(is_available));
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
        assert!(breaker.check().is_err(), "other requests wait for the probe's result");
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
