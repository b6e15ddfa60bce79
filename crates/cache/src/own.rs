//! Whose turn is when, by this process's own count: the rule itself, and the tenants it is kept for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use models::TenantId;

use crate::limits::{Turn, Wish, micros};
use crate::rate::Rate;

/// Tenants after which those are forgotten whose limit is as good as new.
const CAPACITY: usize = 10_000;

/// When a limit would be as good as new, in microseconds of its clock.
#[derive(Clone, Copy, Debug, Default)]
struct Mark(u64);

impl Mark {
    /// How long one who came now would have to wait.
    fn wait(self, now: u64, rate: Rate) -> u64 {
        self.0.max(now).saturating_sub(rate.tolerance()).saturating_sub(now)
    }

    fn take(&mut self, now: u64, rate: Rate) {
        self.0 = self.0.max(now) + rate.interval();
    }
}

/// The limits as this process alone counts them. The rule is that of `turn.lua`.
#[derive(Debug)]
pub(crate) struct Own {
    begun: Instant,
    marks: Mutex<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    tenants: HashMap<TenantId, Mark>,
    all: Mark,
}

impl Default for Own {
    fn default() -> Self {
        Self { begun: Instant::now(), marks: Mutex::default() }
    }
}

impl Own {
    pub(crate) fn take_turn(&self, tenant_id: &TenantId, wish: Wish, rates: [Rate; 2]) -> Turn {
        self.take_turn_at(micros(self.begun.elapsed()), tenant_id, wish, rates)
    }

    fn take_turn_at(
        &self,
        now: u64,
        tenant_id: &TenantId,
        wish: Wish,
        [per_tenant, global]: [Rate; 2],
    ) -> Turn {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let Marks { tenants, all } = &mut *marks;
        if wish != Wish::Kept && tenants.len() >= CAPACITY {
            tenants.retain(|_, mark| mark.0 > now);
        }
        let mut known = None;
        if wish != Wish::Kept {
            let mark = tenants.entry(tenant_id.clone()).or_default();
            let wait = mark.wait(now, per_tenant);
            if wish == Wish::Wait {
                mark.take(now, per_tenant);
            }
            if wait > 0 {
                return Turn::of_tenant(wait);
            }
            known = Some(mark);
        }
        let wait = all.wait(now, global);
        if wait > 0 {
            return Turn::of_all(wait);
        }
        if let Some(mark) = known.filter(|_| wish == Wish::Now) {
            mark.take(now, per_tenant);
        }
        all.take(now, global);
        Turn::Now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn rates(per_tenant: &str, global: &str) -> [Rate; 2] {
        [per_tenant.parse().unwrap(), global.parse().unwrap()]
    }

    #[test]
    fn a_burst_of_the_whole_limit_and_then_its_rate() {
        let (own, tenant, rates) = (Own::default(), TenantId::from("T1"), rates("3/minute", "1000/second"));
        let turns = [0, 0, 0, 0, 0].map(|now| own.take_turn_at(now, &tenant, Wish::Wait, rates));
        let after = |seconds| Turn::At(Duration::from_secs(seconds));
        assert_eq!(turns, [Turn::Now, Turn::Now, Turn::Now, after(20), after(40)]);
        assert_eq!(own.take_turn_at(0, &TenantId::from("T2"), Wish::Wait, rates), Turn::Now);
        // Whoever comes next stands behind those who wait, and their turns need not be asked for again.
        assert_eq!(own.take_turn_at(20 * SECOND, &tenant, Wish::Wait, rates), after(40));
        assert_eq!(own.take_turn_at(20 * SECOND, &tenant, Wish::Kept, rates), Turn::Now);
        assert_eq!(own.take_turn_at(120 * SECOND, &tenant, Wish::Wait, rates), Turn::Now);
    }

    #[test]
    fn whoever_wants_none_kept_moves_nobody_back() {
        let (own, tenant, rates) = (Own::default(), TenantId::from("T1"), rates("2/minute", "1000/second"));
        let turns = [0; 5].map(|now| own.take_turn_at(now, &tenant, Wish::Now, rates));
        let after = Turn::At(Duration::from_secs(30));
        assert_eq!(turns, [Turn::Now, Turn::Now, after, after, after]);
        assert_eq!(own.take_turn_at(0, &tenant, Wish::Wait, rates), after);
        assert_eq!(own.take_turn_at(30 * SECOND, &tenant, Wish::Now, rates), after, "that turn is taken");
    }

    #[test]
    fn the_limit_of_all_keeps_no_turn_but_says_when_to_come_again() {
        let (own, rates) = (Own::default(), rates("100/minute", "2/second"));
        let turns =
            ["T1", "T2", "T3", "T4"].map(|tenant| own.take_turn_at(0, &tenant.into(), Wish::Wait, rates));
        let later = Turn::Later(Duration::from_millis(500));
        assert_eq!(turns, [Turn::Now, Turn::Now, later, later]);
        assert_eq!(own.take_turn_at(SECOND / 2, &"T3".into(), Wish::Kept, rates), Turn::Now);
    }

    #[test]
    fn tenants_that_have_waited_long_enough_are_forgotten() {
        let (own, rates) = (Own::default(), rates("100/minute", "1000000/second"));
        for tenant in 0..CAPACITY as u64 * 2 {
            own.take_turn_at(tenant * SECOND, &TenantId::new(format!("T{tenant}")), Wish::Wait, rates);
        }
        assert!(own.marks.lock().unwrap().tenants.len() <= CAPACITY);
    }
}
