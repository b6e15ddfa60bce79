//! Installs the app with OAuth, version 2.
//! Source: <https://docs.slack.dev/authentication/installing-with-oauth>

use std::time::Duration;

use models::{Installation, TenantId};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::manifest::BOT_SCOPES;
use crate::messages::missing_field_error;
use crate::{BotAuth, Client, SlackError};

const OAUTH_V2_ACCESS: &str = "oauth.v2.access";

/// The OAuth credentials of the Slack app.
#[derive(Clone, Debug)]
pub struct OAuthApp {
    /// `SLACK_CLIENT_ID`.
    pub client_id: String,
    /// `SLACK_CLIENT_SECRET`.
    pub client_secret: SecretString,
    /// `SLACK_REDIRECT_URI`, which must be the same in both steps.
    pub redirect_uri: String,
}

/// The result of an install.
#[derive(Clone, Debug)]
pub struct OAuthGrant {
    /// The installation.
    pub installation: Installation,
    /// The bot token.
    pub bot_token: SecretString,
    /// The data for a token refresh, if the app's tokens rotate.
    pub rotation: Option<TokenRotation>,
}

/// The data for a token refresh. Source: <https://docs.slack.dev/authentication/using-token-rotation>
#[derive(Clone, Debug)]
pub struct TokenRotation {
    /// The refresh token, which works once.
    pub refresh_token: SecretString,
    /// The lifetime of the token that came with it.
    pub expires_in: Duration,
}

#[derive(Deserialize)]
struct OAuthAccessResponse {
    app_id: String,
    access_token: SecretString,
    #[serde(default)]
    scope: String,
    bot_user_id: String,
    team: Option<TeamOrEnterprise>,
    enterprise: Option<TeamOrEnterprise>,
    #[serde(default)]
    is_enterprise_install: bool,
    authed_user: AuthedUser,
    #[serde(flatten)]
    rotation_fields: RotationFields,
}

/// The fields of token rotation. Without both of them the token is valid until it is revoked.
#[derive(Deserialize)]
struct RotationFields {
    refresh_token: Option<SecretString>,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct TokenRefreshResponse {
    access_token: SecretString,
    #[serde(flatten)]
    rotation_fields: RotationFields,
}

#[derive(Deserialize)]
struct TeamOrEnterprise {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct AuthedUser {
    id: String,
}

impl OAuthApp {
    /// Returns the URL that starts an install in the browser.
    ///
    /// # Errors
    /// `base_url` is not a URL.
    pub fn authorize_url(&self, base_url: &str, state: &str) -> Result<Url, url::ParseError> {
        let parameters = [
            ("client_id", self.client_id.as_str()),
            ("scope", &BOT_SCOPES.join(",")),
            ("redirect_uri", &self.redirect_uri),
            ("state", state),
        ];
        Url::parse_with_params(&format!("{}/oauth/v2/authorize", base_url.trim_end_matches('/')), parameters)
    }
}

impl Client {
    /// `oauth.v2.access`: exchanges a code, which works once within ten minutes.
    pub async fn exchange_code(&self, app: &OAuthApp, code: &SecretString) -> Result<OAuthGrant, SlackError> {
        let request = self
            .post(OAUTH_V2_ACCESS)
            .basic_auth(&app.client_id, Some(app.client_secret.expose_secret()))
            .form(&[("code", code.expose_secret()), ("redirect_uri", &app.redirect_uri)]);
        let response = self.send(OAUTH_V2_ACCESS, None, request).await?;
        OAuthAccessResponse::deserialize(response)
            .ok()
            .and_then(OAuthAccessResponse::into_grant)
            .ok_or_else(|| missing_field_error(OAUTH_V2_ACCESS))
    }

    /// `oauth.v2.access`: exchanges a refresh token for a new token and a new refresh token. The old refresh
    /// token is used up even if the response is lost.
    pub async fn refresh_bot_token(
        &self,
        client_id: &str,
        client_secret: &SecretString,
        refresh_token: &SecretString,
    ) -> Result<(SecretString, TokenRotation), SlackError> {
        let request = self
            .post(OAUTH_V2_ACCESS)
            .basic_auth(client_id, Some(client_secret.expose_secret()))
            .form(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())]);
        let response = self.send(OAUTH_V2_ACCESS, None, request).await?;
        let refreshed =
            TokenRefreshResponse::deserialize(response).map_err(|_| missing_field_error(OAUTH_V2_ACCESS))?;
        let rotation =
            refreshed.rotation_fields.into_rotation().ok_or_else(|| missing_field_error(OAUTH_V2_ACCESS))?;
        Ok((refreshed.access_token, rotation))
    }

    /// `auth.revoke`: revokes the token. If the app's tokens do not rotate, this usually ends the
    /// installation too.
    pub async fn revoke_bot_token(&self, bot: &BotAuth) -> Result<(), SlackError> {
        self.call_form("auth.revoke", bot, &[]).await.map(drop)
    }
}

impl RotationFields {
    fn into_rotation(self) -> Option<TokenRotation> {
        let refresh_token = self.refresh_token?;
        Some(TokenRotation { refresh_token, expires_in: Duration::from_secs(self.expires_in?) })
    }
}

impl OAuthAccessResponse {
    fn into_grant(self) -> Option<OAuthGrant> {
        // The flag decides: an org-wide install belongs to the enterprise even if the response has a team.
        let team = self.team.filter(|_| !self.is_enterprise_install);
        let owner = if self.is_enterprise_install { self.enterprise.as_ref() } else { team.as_ref() }?;
        let installation = Installation {
            tenant_id: TenantId::new(&owner.id),
            name: owner.name.clone().unwrap_or_else(|| owner.id.clone()),
            team_id: team.as_ref().map(|team| team.id.as_str().into()),
            enterprise_id: self.enterprise.as_ref().map(|enterprise| enterprise.id.as_str().into()),
            app_id: self.app_id.into(),
            bot_user_id: self.bot_user_id.into(),
            scopes: self.scope,
            installed_by: self.authed_user.id.into(),
        };
        let rotation = self.rotation_fields.into_rotation();
        Some(OAuthGrant { installation, bot_token: self.access_token, rotation })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn grant(changes: Value) -> Option<OAuthGrant> {
        let mut response = json!({
            "ok": true, "app_id": "A1", "access_token": "xoxb-1", "scope": "chat:write", "bot_user_id": "UBOT",
            "team": { "id": "T1", "name": "Team" }, "enterprise": null, "authed_user": { "id": "U1" },
        });
        for (key, value) in changes.as_object()? {
            response[key] = value.clone();
        }
        OAuthAccessResponse::deserialize(response).ok()?.into_grant()
    }

    #[test]
    fn rotation_needs_refresh_token_and_expiry() {
        assert!(grant(json!({})).unwrap().rotation.is_none());
        assert!(grant(json!({ "refresh_token": null })).unwrap().rotation.is_none());
        let rotating = grant(json!({ "refresh_token": "xoxe-1", "expires_in": 43_200 })).unwrap();
        let rotation = rotating.rotation.unwrap();
        assert_eq!(rotation.refresh_token.expose_secret(), "xoxe-1");
        assert_eq!(rotation.expires_in, Duration::from_secs(43_200));
    }

    #[test]
    fn org_install_belongs_to_enterprise() {
        let enterprise = json!({ "id": "E1", "name": "Org" });
        let team_install = grant(json!({ "enterprise": enterprise })).unwrap().installation;
        assert_eq!((team_install.tenant_id.as_str(), team_install.enterprise_id), ("T1", Some("E1".into())));
        // Slack was seen to send a team too; the flag decides.
        for team in [Value::Null, json!({ "id": "T1", "name": "Team" })] {
            let org = json!({ "enterprise": enterprise, "is_enterprise_install": true, "team": team });
            let org = grant(org).unwrap().installation;
            assert_eq!((org.tenant_id.as_str(), org.team_id, org.name.as_str()), ("E1", None, "Org"));
        }
        assert!(grant(json!({ "team": null })).is_none());
    }
}
