//! State that all handlers share.

use std::time::Duration;

use axum_extra::extract::cookie::Key;
use cache::IpRateLimiter;
use chrono::TimeDelta;
use crypto::SessionKey;
use db::Db;
use models::BudgetCeiling;
use service::TrustedProxies;
use tokio_util::sync::CancellationToken;

use crate::allowed_teams::AllowedTeams;
use crate::auth::operators::Operators;
use crate::auth::session_loader::SessionLoader;
use crate::routes::overview::cache::OverviewCache;
use crate::settings::LOGIN_PATH;
use crate::stream_limits::StreamLimits;

/// State that all handlers share.
pub(crate) struct WebState {
    pub(crate) db: Db,
    pub(crate) session_loader: SessionLoader,
    pub(crate) overview_cache: OverviewCache,
    pub(crate) slack: slack::Client,
    pub(crate) slack_app: slack::OAuthApp,
    pub(crate) slack_base_url: String,
    /// Redirect URI of the sign-in.
    pub(crate) login_uri: String,
    pub(crate) operators: Operators,
    pub(crate) allowed_teams: AllowedTeams,
    pub(crate) budget_ceiling: BudgetCeiling,
    /// Age at which a data key is due for replacement.
    pub(crate) key_rotation_interval: TimeDelta,
    /// Cancelled on shutdown, so that live pages end their streams.
    pub(crate) shutdown: CancellationToken,
    /// Live pages and downloads of this replica.
    pub(crate) stream_limits: StreamLimits,
    /// Signs the rows of sessions.
    pub(crate) session_key: SessionKey,
    /// Encrypts cookies.
    pub(crate) cookie_key: Key,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub(crate) trusted_proxies: TrustedProxies,
    /// Limits sign-ins and installs per address.
    pub(crate) ip_rate_limiter: IpRateLimiter,
    /// Time limit for a page.
    pub(crate) page_timeout: Duration,
}

impl WebState {
    /// Returns true if browsers reach this service over https.
    pub(crate) fn is_secure(&self) -> bool {
        self.login_uri.starts_with("https:")
    }

    /// Returns the public origin of this service and of `/api/`: scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        self.login_uri.strip_suffix(LOGIN_PATH).unwrap_or(&self.login_uri)
    }
}
