//! Methods that Slack has asked to leave alone for a while: each for one tenant, never for another.
//! Source: <https://docs.slack.dev/apis/web-api/rate-limits>

use std::time::Duration;

use models::TenantId;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::SlackError;

/// So long a call waits for its turn; beyond it the caller learns at once how long it would be.
const MAX_BACKOFF_WAIT: Duration = Duration::from_secs(2);

/// Slack asks for minutes at most; nothing is kept longer than this.
const MAX_BACKOFF: Duration = Duration::from_secs(3_600);

/// Entries; the least used goes first, which costs one call that Slack refuses again.
const MAX_BACKOFF_ENTRIES: u64 = 10_000;

/// Until when a method of a tenant is held back.
#[derive(Clone, Debug)]
pub(crate) struct MethodBackoff(Cache<(TenantId, &'static str), Instant>);

impl Default for MethodBackoff {
    fn default() -> Self {
        let cache = Cache::builder()
            .max_capacity(MAX_BACKOFF_ENTRIES)
            .time_to_live(MAX_BACKOFF)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self(cache)
    }
}

impl MethodBackoff {
    pub(crate) fn record(&self, tenant_id: &TenantId, method: &'static str, retry_after: Duration) {
        self.0.insert((tenant_id.clone(), method), Instant::now() + retry_after.min(MAX_BACKOFF));
    }

    /// Waits until the method is free again, if that is soon.
    pub(crate) async fn until_ready(
        &self,
        tenant_id: &TenantId,
        method: &'static str,
    ) -> Result<(), SlackError> {
        let Some(until) = self.0.get(&(tenant_id.clone(), method)) else { return Ok(()) };
        let retry_after = until.saturating_duration_since(Instant::now());
        if retry_after > MAX_BACKOFF_WAIT {
            return Err(SlackError::RateLimited { method, retry_after });
        }
        tokio::time::sleep(retry_after).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn backoff_is_per_method_and_tenant() {
        let held = MethodBackoff::default();
        let (busy, other) = (TenantId::from("T1"), TenantId::from("T2"));
        held.record(&busy, "chat.update", Duration::from_secs(10));
        assert!(held.until_ready(&other, "chat.update").await.is_ok());
        assert!(held.until_ready(&busy, "chat.postMessage").await.is_ok());
        let refused = held.until_ready(&busy, "chat.update").await;
        assert!(
            matches!(refused, Err(SlackError::RateLimited { retry_after, .. }) if retry_after.as_secs() == 10)
        );

        tokio::time::advance(Duration::from_millis(8_500)).await;
        let before = Instant::now();
        assert!(held.until_ready(&busy, "chat.update").await.is_ok());
        assert!(before.elapsed() >= Duration::from_millis(1_500));
        assert!(held.until_ready(&busy, "chat.update").await.is_ok());
    }

    #[test]
    fn backoff_entries_are_bounded() {
        let held = MethodBackoff::default();
        for tenant in 0..MAX_BACKOFF_ENTRIES + 500 {
            held.record(&TenantId::new(format!("T{tenant}")), "chat.update", MAX_BACKOFF);
        }
        held.0.run_pending_tasks();
        assert!(held.0.entry_count() <= MAX_BACKOFF_ENTRIES, "{}", held.0.entry_count());
    }
}
