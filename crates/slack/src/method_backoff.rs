//! Slack's rate limits, which are per method and tenant: a limited method is not called until its limit ends.
//! Source: <https://docs.slack.dev/apis/web-api/rate-limits>

use std::time::Duration;

use models::TenantId;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::SlackError;
use crate::bounded_cache::bounded_cache;

/// The longest time that a call waits for its limit to end. A longer limit is returned as an error at once.
const MAX_BACKOFF_WAIT: Duration = Duration::from_secs(2);

/// The longest time that a limit is stored. Slack asks for minutes at most.
const MAX_BACKOFF: Duration = Duration::from_secs(3_600);

/// The end of each method's rate limit, per tenant.
#[derive(Clone, Debug)]
pub(crate) struct MethodBackoff(Cache<(TenantId, &'static str), Instant>);

impl Default for MethodBackoff {
    fn default() -> Self {
        Self(bounded_cache(MAX_BACKOFF))
    }
}

impl MethodBackoff {
    pub(crate) fn record(&self, tenant_id: &TenantId, method: &'static str, retry_after: Duration) {
        self.0.insert((tenant_id.clone(), method), Instant::now() + retry_after.min(MAX_BACKOFF));
    }

    /// Waits until the method's limit ends, or returns `RateLimited` if that takes too long.
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
        let backoff = MethodBackoff::default();
        let (busy, other) = (TenantId::from("T1"), TenantId::from("T2"));
        backoff.record(&busy, "chat.update", Duration::from_secs(10));
        assert!(backoff.until_ready(&other, "chat.update").await.is_ok());
        assert!(backoff.until_ready(&busy, "chat.postMessage").await.is_ok());
        let result = backoff.until_ready(&busy, "chat.update").await;
        assert!(
            matches!(result, Err(SlackError::RateLimited { retry_after, .. }) if retry_after.as_secs() == 10)
        );

        tokio::time::advance(Duration::from_millis(8_500)).await;
        let before = Instant::now();
        assert!(backoff.until_ready(&busy, "chat.update").await.is_ok());
        assert!(before.elapsed() >= Duration::from_millis(1_500));
        assert!(backoff.until_ready(&busy, "chat.update").await.is_ok());
    }
}
