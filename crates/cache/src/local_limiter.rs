//! The reply limits as one process counts them, used while Redis is not available.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use models::TenantId;

use crate::rate::Rate;
use crate::rate_limit::{AcquireMode, Admission, to_micros};

/// The number of tenants from which on those with a fully restored limit are removed.
const MAX_TRACKED_TENANTS: usize = 10_000;

/// The theoretical arrival time of GCRA: the time at which a limit is fully restored, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Tat(u64);

impl Tat {
    /// Returns how long a request that comes now has to wait.
    fn wait(self, now: u64, rate: Rate) -> u64 {
        self.0.max(now).saturating_sub(rate.tolerance_micros()).saturating_sub(now)
    }

    fn advance(&mut self, now: u64, rate: Rate) {
        self.0 = self.0.max(now) + rate.interval_micros();
    }
}

/// Counts replies in this process, by the same rule as `reserve.lua`.
#[derive(Debug)]
pub(crate) struct LocalLimiter {
    started_at: Instant,
    tats: Mutex<Tats>,
}

#[derive(Debug, Default)]
struct Tats {
    tenants: HashMap<TenantId, Tat>,
    global: Tat,
}

impl Default for LocalLimiter {
    fn default() -> Self {
        Self { started_at: Instant::now(), tats: Mutex::default() }
    }
}

impl LocalLimiter {
    pub(crate) fn acquire(&self, tenant_id: &TenantId, mode: AcquireMode, rates: [Rate; 2]) -> Admission {
        self.acquire_at(to_micros(self.started_at.elapsed()), tenant_id, mode, rates)
    }

    fn acquire_at(
        &self,
        now: u64,
        tenant_id: &TenantId,
        mode: AcquireMode,
        [per_tenant, global_rate]: [Rate; 2],
    ) -> Admission {
        let mut tats = self.tats.lock().unwrap_or_else(PoisonError::into_inner);
        let Tats { tenants, global } = &mut *tats;
        let mut tenant = None;
        if mode != AcquireMode::Reserved {
            if tenants.len() >= MAX_TRACKED_TENANTS {
                tenants.retain(|_, tat| tat.0 > now);
            }
            let tat = tenants.entry(tenant_id.clone()).or_default();
            let wait = tat.wait(now, per_tenant);
            if mode == AcquireMode::Reserve {
                tat.advance(now, per_tenant);
            }
            if wait > 0 {
                return Admission::queued_for_micros(wait);
            }
            tenant = Some(tat);
        }
        let wait = global.wait(now, global_rate);
        if wait > 0 {
            return Admission::retry_after_micros(wait);
        }
        if let Some(tat) = tenant.filter(|_| mode == AcquireMode::TryNow) {
            tat.advance(now, per_tenant);
        }
        global.advance(now, global_rate);
        Admission::Allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND_MICROS: u64 = 1_000_000;

    fn rates(per_tenant: &str, global: &str) -> [Rate; 2] {
        [per_tenant.parse().unwrap(), global.parse().unwrap()]
    }

    #[test]
    fn burst_is_followed_by_steady_rate() {
        use AcquireMode::{Reserve, Reserved};
        let (limiter, tenant) = (LocalLimiter::default(), TenantId::from("T1"));
        let rates = rates("3/minute", "1000/second");
        let first_five = [0; 5].map(|now| limiter.acquire_at(now, &tenant, Reserve, rates));
        let after = |seconds| Admission::QueuedFor(Duration::from_secs(seconds));
        let allowed = Admission::Allowed;
        assert_eq!(first_five, [allowed, allowed, allowed, after(20), after(40)]);
        assert_eq!(limiter.acquire_at(0, &TenantId::from("T2"), Reserve, rates), allowed);
        // A new reply queues behind those that wait; a reserved slot needs no second reservation.
        assert_eq!(limiter.acquire_at(20 * SECOND_MICROS, &tenant, Reserve, rates), after(40));
        assert_eq!(limiter.acquire_at(20 * SECOND_MICROS, &tenant, Reserved, rates), allowed);
        assert_eq!(limiter.acquire_at(120 * SECOND_MICROS, &tenant, Reserve, rates), allowed);
    }

    #[test]
    fn try_acquire_reserves_nothing() {
        use AcquireMode::{Reserve, TryNow};
        let (limiter, tenant) = (LocalLimiter::default(), TenantId::from("T1"));
        let rates = rates("2/minute", "1000/second");
        let first_five = [0; 5].map(|now| limiter.acquire_at(now, &tenant, TryNow, rates));
        let after = Admission::QueuedFor(Duration::from_secs(30));
        assert_eq!(first_five, [Admission::Allowed, Admission::Allowed, after, after, after]);
        assert_eq!(limiter.acquire_at(0, &tenant, Reserve, rates), after);
        let later = limiter.acquire_at(30 * SECOND_MICROS, &tenant, TryNow, rates);
        assert_eq!(later, after, "that slot is reserved");
    }

    #[test]
    fn global_limit_reports_retry_after() {
        let (limiter, rates) = (LocalLimiter::default(), rates("100/minute", "2/second"));
        let results = ["T1", "T2", "T3", "T4"]
            .map(|tenant| limiter.acquire_at(0, &tenant.into(), AcquireMode::Reserve, rates));
        let later = Admission::RetryAfter(Duration::from_millis(500));
        assert_eq!(results, [Admission::Allowed, Admission::Allowed, later, later]);
        let retried = limiter.acquire_at(SECOND_MICROS / 2, &"T3".into(), AcquireMode::Reserved, rates);
        assert_eq!(retried, Admission::Allowed);
    }

    #[test]
    fn idle_tenants_are_evicted() {
        let (limiter, rates) = (LocalLimiter::default(), rates("100/minute", "1000000/second"));
        for number in 0..MAX_TRACKED_TENANTS as u64 * 2 {
            let tenant = TenantId::new(format!("T{number}"));
            limiter.acquire_at(number * SECOND_MICROS, &tenant, AcquireMode::Reserve, rates);
        }
        assert!(limiter.tats.lock().unwrap().tenants.len() <= MAX_TRACKED_TENANTS);
    }
}
