//! Installing by OAuth, version 2. Source: <https://docs.slack.dev/authentication/installing-with-oauth>

use models::{Installation, TenantId};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::manifest::BOT_SCOPES;
use crate::messages::incomplete;
use crate::{Client, SlackError};

/// The Slack app that is installed.
#[derive(Clone, Debug)]
pub struct App {
    /// `SLACK_CLIENT_ID`.
    pub client_id: String,
    /// `SLACK_CLIENT_SECRET`.
    pub client_secret: SecretString,
    /// `SLACK_REDIRECT_URI`; the same in both steps.
    pub redirect_uri: String,
}

/// What an install grants.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The bot in the workspace.
    pub installation: Installation,
    /// What it calls Slack with.
    pub bot_token: SecretString,
}

#[derive(Deserialize)]
struct Access {
    app_id: String,
    access_token: SecretText,
    #[serde(default)]
    scope: String,
    bot_user_id: String,
    team: Option<Place>,
    enterprise: Option<Place>,
    #[serde(default)]
    is_enterprise_install: bool,
    authed_user: AuthedUser,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct SecretText(String);

#[derive(Deserialize)]
struct Place {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct AuthedUser {
    id: String,
}

impl App {
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
    pub async fn exchange(&self, app: &App, code: &str) -> Result<Grant, SlackError> {
        const METHOD: &str = "oauth.v2.access";
        let request = self
            .post(METHOD)
            .basic_auth(&app.client_id, Some(app.client_secret.expose_secret()))
            .form(&[("code", code), ("redirect_uri", &app.redirect_uri)]);
        let answer = self.send(METHOD, request).await?;
        Access::deserialize(answer).ok().and_then(Access::into_grant).ok_or_else(|| incomplete(METHOD))
    }
}

impl Access {
    /// An org-wide install belongs to the enterprise, whatever team comes with it: the flag decides.
    fn into_grant(self) -> Option<Grant> {
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
        Some(Grant { installation, bot_token: self.access_token.0.into() })
    }
}
