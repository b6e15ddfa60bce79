//! Installing by OAuth, version 2. Source: <https://docs.slack.dev/authentication/installing-with-oauth>

use std::time::Duration;

use models::{Installation, TenantId};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::manifest::BOT_SCOPES;
use crate::messages::missing_field_error;
use crate::{BotAuth, Client, SlackError};

/// The Slack app that is installed.
#[derive(Clone, Debug)]
pub struct OAuthApp {
    /// `SLACK_CLIENT_ID`.
    pub client_id: String,
    /// `SLACK_CLIENT_SECRET`.
    pub client_secret: SecretString,
    /// `SLACK_REDIRECT_URI`; the same in both steps.
    pub redirect_uri: String,
}

/// What an install grants.
#[derive(Clone, Debug)]
pub struct OAuthGrant {
    /// The bot in the workspace.
    pub installation: Installation,
    /// What it calls Slack with.
    pub bot_token: SecretString,
    /// How the token is renewed, where the app's tokens rotate.
    pub rotation: Option<TokenRotation>,
}

/// How a token is renewed. Source: <https://docs.slack.dev/authentication/using-token-rotation>
#[derive(Clone, Debug)]
pub struct TokenRotation {
    /// Good once.
    pub refresh_token: SecretString,
    /// How long the token it came with lives.
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

/// Both are there, or the token lives until it is revoked.
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
    /// Where the browser goes to ask for the install.
    ///
    /// # Errors
    /// The base address is none.
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
    /// `oauth.v2.access`: what a code is worth. A code is good once, for ten minutes.
    pub async fn exchange_code(&self, app: &OAuthApp, code: &SecretString) -> Result<OAuthGrant, SlackError> {
        const OAUTH_V2_ACCESS: &str = "oauth.v2.access";
        let request = self
            .post(OAUTH_V2_ACCESS)
            .basic_auth(&app.client_id, Some(app.client_secret.expose_secret()))
            .form(&[("code", code.expose_secret()), ("redirect_uri", &app.redirect_uri)]);
        let answer = self.send(OAUTH_V2_ACCESS, None, request).await?;
        OAuthAccessResponse::deserialize(answer)
            .ok()
            .and_then(OAuthAccessResponse::into_grant)
            .ok_or_else(|| missing_field_error(OAUTH_V2_ACCESS))
    }

    /// `oauth.v2.access` once more: a new token and a new refresh token for a refresh token, which is used up by this,
    /// also when the answer is lost.
    pub async fn refresh_bot_token(
        &self,
        client_id: &str,
        client_secret: &SecretString,
        refresh_token: &SecretString,
    ) -> Result<(SecretString, TokenRotation), SlackError> {
        const OAUTH_V2_ACCESS: &str = "oauth.v2.access";
        let request = self
            .post(OAUTH_V2_ACCESS)
            .basic_auth(client_id, Some(client_secret.expose_secret()))
            .form(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())]);
        let answer = self.send(OAUTH_V2_ACCESS, None, request).await?;
        let renewed =
            TokenRefreshResponse::deserialize(answer).map_err(|_| missing_field_error(OAUTH_V2_ACCESS))?;
        let rotation =
            renewed.rotation_fields.into_rotation().ok_or_else(|| missing_field_error(OAUTH_V2_ACCESS))?;
        Ok((renewed.access_token, rotation))
    }

    /// `auth.revoke`: the token is worth nothing from now on. Of an app whose tokens do not rotate this usually ends
    /// the installation too.
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
    /// An org-wide install belongs to the enterprise, whatever team comes with it: the flag decides.
    fn into_grant(self) -> Option<OAuthGrant> {
        let team = self.team.filter(|_| !self.is_enterprise_install);
        let place = if self.is_enterprise_install { self.enterprise.as_ref() } else { team.as_ref() }?;
        let installation = Installation {
            tenant_id: TenantId::new(&place.id),
            name: place.name.clone().unwrap_or_else(|| place.id.clone()),
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
        let mut answer = json!({
            "ok": true, "app_id": "A1", "access_token": "xoxb-1", "scope": "chat:write", "bot_user_id": "UBOT",
            "team": { "id": "T1", "name": "Team" }, "enterprise": null, "authed_user": { "id": "U1" },
        });
        for (key, value) in changes.as_object()? {
            answer[key] = value.clone();
        }
        OAuthAccessResponse::deserialize(answer).ok()?.into_grant()
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
        let of_team = grant(json!({ "enterprise": enterprise })).unwrap().installation;
        assert_eq!((of_team.tenant_id.as_str(), of_team.enterprise_id), ("T1", Some("E1".into())));
        // One report has a team come with it: the flag decides.
        for team in [Value::Null, json!({ "id": "T1", "name": "Team" })] {
            let org = json!({ "enterprise": enterprise, "is_enterprise_install": true, "team": team });
            let org = grant(org).unwrap().installation;
            assert_eq!((org.tenant_id.as_str(), org.team_id, org.name.as_str()), ("E1", None, "Org"));
        }
        assert!(grant(json!({ "team": null })).is_none());
    }
}
