//! The counters and gauges that are updated along the way.

use std::sync::LazyLock;

use cache::Admission;
use chrono::Utc;
use metrics::{Counter, counter, gauge};
use models::EventOutcome;

/// The values of the label of `enablebot_rate_limited_total`.
pub(crate) const RATE_LIMIT_LABELS: [&str; 2] = ["tenant", "global"];

/// Counts a message that a rate limit holds back.
pub(crate) fn count_rate_limited(admission: Admission) {
    let limit = match admission {
        Admission::Allowed => return,
        Admission::QueuedFor(_) => RATE_LIMIT_LABELS[0],
        Admission::RetryAfter(_) => RATE_LIMIT_LABELS[1],
    };
    counter!("enablebot_rate_limited_total", "limit" => limit).increment(1);
}

/// Records that the worker has looked for threads, and its free slots.
pub(crate) fn record_claim(free: usize, total: usize) {
    gauge!("enablebot_worker_claimed_timestamp_seconds").set(Utc::now().timestamp_millis() as f64 / 1000.0);
    gauge!("enablebot_reply_slots", "state" => "free").set(free as f64);
    gauge!("enablebot_reply_slots", "state" => "busy").set((total - free) as f64);
}

/// Counts events that ended.
pub(crate) fn count_outcome(outcome: EventOutcome, events: u64) {
    // Looking a counter up would cost more than the rest of an ignored delivery.
    static COUNTERS: LazyLock<[(EventOutcome, Counter); EventOutcome::ALL_OUTCOMES.len()]> =
        LazyLock::new(|| {
            let counter =
                |outcome: EventOutcome| counter!("enablebot_events_total", "outcome" => outcome.as_str());
            EventOutcome::ALL_OUTCOMES.map(|outcome| (outcome, counter(outcome)))
        });
    if let Some((_, counter)) = COUNTERS.iter().find(|(known, _)| *known == outcome) {
        counter.increment(events);
    }
}
