//! Whose turn is when, by this process's own count: the rule itself, and the tenants it is kept for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use models::TenantId;

use crate::rate::Rate;
use crate::rate_limit::{AcquireMode, Admission, to_micros};

/// Tenants after which those are forgotten whose limit is as good as new.
const MAX_TRACKED_TENANTS: usize = 10_000;

/// When a limit would be as good as new, in microseconds of its clock.
#[derive(Clone, Copy, Debug, Default)]
struct Tat(u64);

impl Tat {
    /// How long one who came now would have to wait.
    fn wait(self, now: u64, rate: Rate) -> u64 {
        self.0.max(now).saturating_sub(rate.tolerance_micros()).saturating_sub(now)
    }

    fn advance(&mut self, now: u64, rate: Rate) {
        self.0 = self.0.max(now) + rate.interval_micros();
    }
}

/// The limits as this process alone counts them. The rule is that of `reserve.lua`.
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
        [per_tenant, global]: [Rate; 2],
    ) -> Admission {
        let mut marks = self.tats.lock().unwrap_or_else(PoisonError::into_inner);
        let Tats { tenants, global: all } = &mut *marks;
        if mode != AcquireMode::Reserved && tenants.len() >= MAX_TRACKED_TENANTS {
            tenants.retain(|_, mark| mark.0 > now);
        }
        let mut known = None;
        if mode != AcquireMode::Reserved {
            let mark = tenants.entry(tenant_id.clone()).or_default();
            let wait = mark.wait(now, per_tenant);
            if mode == AcquireMode::Reserve {
                mark.advance(now, per_tenant);
            }
            if wait > 0 {
                return Admission::queued_for_micros(wait);
            }
            known = Some(mark);
        }
        let wait = all.wait(now, global);
        if wait > 0 {
            return Admission::retry_after_micros(wait);
        }
        if let Some(mark) = known.filter(|_| mode == AcquireMode::TryNow) {
            mark.advance(now, per_tenant);
        }
        all.advance(now, global);
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
        let (own, tenant, rates) =
            (LocalLimiter::default(), TenantId::from("T1"), rates("3/minute", "1000/second"));
        let turns = [0, 0, 0, 0, 0].map(|now| own.acquire_at(now, &tenant, AcquireMode::Reserve, rates));
        let after = |seconds| Admission::QueuedFor(Duration::from_secs(seconds));
        assert_eq!(turns, [Admission::Allowed, Admission::Allowed, Admission::Allowed, after(20), after(40)]);
        assert_eq!(own.acquire_at(0, &TenantId::from("T2"), AcquireMode::Reserve, rates), Admission::Allowed);
        // Whoever comes next stands behind those who wait, and their turns need not be asked for again.
        assert_eq!(own.acquire_at(20 * SECOND_MICROS, &tenant, AcquireMode::Reserve, rates), after(40));
        assert_eq!(
            own.acquire_at(20 * SECOND_MICROS, &tenant, AcquireMode::Reserved, rates),
            Admission::Allowed
        );
        assert_eq!(
            own.acquire_at(120 * SECOND_MICROS, &tenant, AcquireMode::Reserve, rates),
            Admission::Allowed
        );
    }

    #[test]
    fn try_acquire_reserves_nothing() {
        let (own, tenant, rates) =
            (LocalLimiter::default(), TenantId::from("T1"), rates("2/minute", "1000/second"));
        let turns = [0; 5].map(|now| own.acquire_at(now, &tenant, AcquireMode::TryNow, rates));
        let after = Admission::QueuedFor(Duration::from_secs(30));
        assert_eq!(turns, [Admission::Allowed, Admission::Allowed, after, after, after]);
        assert_eq!(own.acquire_at(0, &tenant, AcquireMode::Reserve, rates), after);
        assert_eq!(
            own.acquire_at(30 * SECOND_MICROS, &tenant, AcquireMode::TryNow, rates),
            after,
            "that turn is taken"
        );
    }

    #[test]
    fn global_limit_reports_retry_after() {
        let (own, rates) = (LocalLimiter::default(), rates("100/minute", "2/second"));
        let turns = ["T1", "T2", "T3", "T4"]
            .map(|tenant| own.acquire_at(0, &tenant.into(), AcquireMode::Reserve, rates));
        let later = Admission::RetryAfter(Duration::from_millis(500));
        assert_eq!(turns, [Admission::Allowed, Admission::Allowed, later, later]);
        assert_eq!(
            own.acquire_at(SECOND_MICROS / 2, &"T3".into(), AcquireMode::Reserved, rates),
            Admission::Allowed
        );
    }

    #[test]
    fn idle_tenants_are_evicted() {
        let (own, rates) = (LocalLimiter::default(), rates("100/minute", "1000000/second"));
        for tenant in 0..MAX_TRACKED_TENANTS as u64 * 2 {
            own.acquire_at(
                tenant * SECOND_MICROS,
                &TenantId::new(format!("T{tenant}")),
                AcquireMode::Reserve,
                rates,
            );
        }
        assert!(own.tats.lock().unwrap().tenants.len() <= MAX_TRACKED_TENANTS);
    }
}
