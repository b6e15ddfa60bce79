//! Issued tokens and their state.
//! Source: <https://docs.slack.dev/authentication/using-token-rotation>

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// Maximum valid access tokens of an installation; a further one revokes the oldest.
const MAX_LIVE_TOKENS: usize = 2;

/// All issued tokens. A tenant is a team, or the enterprise of an org-wide install.
#[derive(Default)]
pub(crate) struct TokenStore {
    access: HashMap<String, AccessToken>,
    /// The tenant's valid tokens, oldest first.
    live: HashMap<String, VecDeque<String>>,
    /// Unused refresh tokens with their tenants.
    refresh: HashMap<String, String>,
}

struct AccessToken {
    tenant: String,
    expires_at: Option<Instant>,
    /// The error returned since it was revoked.
    revoked_error: Option<&'static str>,
}

/// An access token, with a refresh token if it expires.
pub(crate) struct IssuedToken {
    pub(crate) access: String,
    pub(crate) refresh: Option<String>,
}

impl TokenStore {
    /// Issues a token for a tenant. With a lifetime it expires and has a refresh token.
    pub(crate) fn issue(&mut self, tenant: &str, lifetime: Option<Duration>) -> IssuedToken {
        let unique = Uuid::new_v4().simple();
        let issued = match lifetime {
            None => IssuedToken { access: format!("xoxb-1000000001-{unique}"), refresh: None },
            Some(_) => IssuedToken {
                access: format!("xoxe.xoxb-1-{unique}"),
                refresh: Some(format!("xoxe-1-{}", Uuid::new_v4().simple())),
            },
        };
        let expires = lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime));
        let access = AccessToken { tenant: tenant.to_owned(), expires_at: expires, revoked_error: None };
        self.access.insert(issued.access.clone(), access);
        if let Some(refresh) = &issued.refresh {
            self.refresh.insert(refresh.clone(), tenant.to_owned());
        }
        let live = self.live.entry(tenant.to_owned()).or_default();
        live.push_back(issued.access.clone());
        let surplus = if live.len() > MAX_LIVE_TOKENS { live.pop_front() } else { None };
        if let Some(oldest) = surplus {
            self.revoke(&oldest, "token_revoked");
        }
        issued
    }

    /// Returns the token's tenant, or Slack's error for it.
    pub(crate) fn authenticate(&self, token: &str) -> Result<&str, &'static str> {
        let access = self.access.get(token).ok_or("invalid_auth")?;
        match access.revoked_error {
            Some(why) => Err(why),
            None if access.expires_at.is_some_and(|expires| expires <= Instant::now()) => {
                Err("token_expired")
            }
            None => Ok(&access.tenant),
        }
    }

    /// Consumes a refresh token and returns its tenant; `None` if it was used before.
    pub(crate) fn redeem(&mut self, refresh: &str) -> Option<String> {
        self.refresh.remove(refresh)
    }

    /// Expires every token of a tenant now; each can still be refreshed.
    pub(crate) fn expire(&mut self, tenant: &str) {
        for access in self.access.values_mut().filter(|access| access.tenant == tenant) {
            access.expires_at = Some(Instant::now());
        }
    }

    /// Revokes one token.
    pub(crate) fn revoke(&mut self, token: &str, why: &'static str) {
        let Some(access) = self.access.get_mut(token) else { return };
        access.revoked_error = Some(why);
        if let Some(live) = self.live.get_mut(&access.tenant) {
            live.retain(|one| one != token);
        }
    }

    /// Revokes all access and refresh tokens of a tenant.
    pub(crate) fn revoke_all(&mut self, tenant: &str, why: &'static str) {
        for token in self.live.remove(tenant).unwrap_or_default() {
            self.revoke(&token, why);
        }
        self.refresh.retain(|_, owner| owner != tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn third_token_revokes_first() {
        let mut tokens = TokenStore::default();
        let lifetime = Some(Duration::from_secs(60));
        let [first, second, third] = [0; 3].map(|_| tokens.issue("T1", lifetime).access);
        assert_eq!(tokens.authenticate(&first), Err("token_revoked"));
        assert_eq!(tokens.authenticate(&second), Ok("T1"));
        assert_eq!(tokens.authenticate(&third), Ok("T1"));
        tokens.expire("T1");
        assert_eq!(tokens.authenticate(&third), Err("token_expired"));
        assert_eq!(tokens.authenticate(&first), Err("token_revoked"));
    }

    #[test]
    fn refresh_token_is_single_use_and_revocable() {
        let mut tokens = TokenStore::default();
        let mut refresh = || tokens.issue("T1", Some(Duration::from_secs(60))).refresh.unwrap_or_default();
        let (used, left) = (refresh(), refresh());
        assert_eq!(tokens.redeem(&used).as_deref(), Some("T1"));
        assert_eq!(tokens.redeem(&used), None);
        tokens.revoke_all("T1", "account_inactive");
        assert_eq!(tokens.redeem(&left), None);
    }
}
