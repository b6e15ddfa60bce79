//! Tokens that were given out, and what became of each.
//! Source: <https://docs.slack.dev/authentication/using-token-rotation>

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// Access tokens of an installation that work at once; a further one ends the oldest.
const MAX_LIVE_TOKENS: usize = 2;

/// All tokens ever given out. A tenant is a team, or the enterprise of an org-wide install.
#[derive(Default)]
pub(crate) struct TokenStore {
    access: HashMap<String, AccessToken>,
    /// The tenant's tokens that still work, oldest first.
    live: HashMap<String, VecDeque<String>>,
    /// Each refresh token that was not used yet, with its tenant.
    refresh: HashMap<String, String>,
}

struct AccessToken {
    tenant: String,
    expires_at: Option<Instant>,
    /// What it answers since it was ended.
    revoked_error: Option<&'static str>,
}

/// An access token, and what it is refreshed with if it expires.
pub(crate) struct IssuedToken {
    pub(crate) access: String,
    pub(crate) refresh: Option<String>,
}

impl TokenStore {
    /// A new token for a tenant, which expires and comes with a refresh token if there is a lifetime.
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

    /// Whose token it is, or what Slack answers to it.
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

    /// Uses a refresh token up; its tenant. A second time there is none.
    pub(crate) fn redeem(&mut self, refresh: &str) -> Option<String> {
        self.refresh.remove(refresh)
    }

    /// Lets every token of a tenant expire now; each can still be refreshed.
    pub(crate) fn expire(&mut self, tenant: &str) {
        for access in self.access.values_mut().filter(|access| access.tenant == tenant) {
            access.expires_at = Some(Instant::now());
        }
    }

    /// Ends one token.
    pub(crate) fn revoke(&mut self, token: &str, why: &'static str) {
        let Some(access) = self.access.get_mut(token) else { return };
        access.revoked_error = Some(why);
        if let Some(live) = self.live.get_mut(&access.tenant) {
            live.retain(|one| one != token);
        }
    }

    /// Ends all that a tenant has, what could be refreshed too.
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
