//! Sign in with Slack: OpenID Connect with a state, a nonce and PKCE. An identity is trusted only after a
//! check of the id token's signature, issuer, audience, time and nonce.
//! Source: <https://docs.slack.dev/authentication/sign-in-with-slack>

use std::str::FromStr;

use models::{EnterpriseId, TeamId, UserId};
use openidconnect::core::{
    CoreGenderClaim, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
};
use openidconnect::{
    AdditionalClaims, ClientId, ClientSecret, IdToken, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::client::{send_request, transport_error};
use crate::messages::missing_field_error;
use crate::{Client, OAuthApp, SlackError};

/// The issuer of Slack's tokens, for any base URL.
const OPENID_ISSUER: &str = "https://slack.com";

const OPENID_SCOPES: &str = "openid profile email";

const OPENID_TOKEN: &str = "openid.connect.token";

/// The secrets of a sign-in that has started, which the callback must match.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingSignIn {
    /// The state, which comes back in the callback URL.
    pub state: String,
    /// The nonce, which comes back in the signed token.
    pub nonce: String,
    /// The PKCE verifier, which proves to Slack that the sign-in ends where it started.
    #[serde(serialize_with = "expose")]
    pub verifier: SecretString,
}

/// A person who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackIdentity {
    /// Their workspace.
    pub team_id: TeamId,
    /// Its organisation, on Enterprise Grid.
    pub enterprise_id: Option<EnterpriseId>,
    /// Their user id in the workspace.
    pub user_id: UserId,
    /// Their name.
    pub name: String,
    /// Their e-mail address, if Slack has verified it.
    pub email: Option<String>,
}

/// A failed sign-in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Slack rejected the call, or did not respond.
    #[error(transparent)]
    Slack(#[from] SlackError),
    /// The id token failed a check.
    #[error("invalid id token: {0}")]
    InvalidToken(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SlackClaims {
    #[serde(rename = "https://slack.com/team_id")]
    team_id: String,
    #[serde(rename = "https://slack.com/user_id")]
    user_id: String,
    /// Missing or empty outside Enterprise Grid.
    #[serde(default, rename = "https://slack.com/enterprise_id")]
    enterprise_id: Option<String>,
}

impl AdditionalClaims for SlackClaims {}

type SlackIdToken =
    IdToken<SlackClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

#[derive(Deserialize)]
struct OpenIdTokenResponse {
    id_token: String,
}

/// Serializes a secret. The caller encrypts the result before the browser stores it.
fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl PendingSignIn {
    /// Generates random secrets for a new sign-in.
    pub fn generate() -> Self {
        let random = || Nonce::new_random_len(32).secret().to_owned();
        let (_, verifier) = PkceCodeChallenge::new_random_sha256();
        Self { state: random(), nonce: random(), verifier: verifier.into_secret().into() }
    }

    /// Returns the URL that starts the sign-in in the browser.
    ///
    /// # Errors
    /// `base_url` is not a URL.
    pub fn authorize_url(
        &self,
        app: &OAuthApp,
        base_url: &str,
        redirect_uri: &str,
    ) -> Result<Url, url::ParseError> {
        let verifier = PkceCodeVerifier::new(self.verifier.expose_secret().to_owned());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        let parameters = [
            ("response_type", "code"),
            ("scope", OPENID_SCOPES),
            ("client_id", &app.client_id),
            ("redirect_uri", redirect_uri),
            ("state", &self.state),
            ("nonce", &self.nonce),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let base_url = base_url.trim_end_matches('/');
        Url::parse_with_params(&format!("{base_url}/openid/connect/authorize"), parameters)
    }
}

impl Client {
    /// `openid.connect.token`: returns the identity behind a code.
    ///
    /// # Errors Slack rejects the code or does not respond, or the id token is not valid for this app and
    /// this sign-in.
    pub async fn fetch_identity(
        &self,
        app: &OAuthApp,
        redirect_uri: &str,
        sign_in: &PendingSignIn,
        code: &SecretString,
    ) -> Result<SlackIdentity, SignInError> {
        let request = self
            .post(OPENID_TOKEN)
            .basic_auth(&app.client_id, Some(app.client_secret.expose_secret()))
            .form(&[
                ("code", code.expose_secret()),
                ("redirect_uri", redirect_uri),
                ("code_verifier", sign_in.verifier.expose_secret()),
            ]);
        let response = self.send(OPENID_TOKEN, None, request).await?;
        let tokens =
            OpenIdTokenResponse::deserialize(response).map_err(|_| missing_field_error(OPENID_TOKEN))?;
        let keys = self.fetch_openid_keys().await?;
        verify_id_token(&tokens.id_token, app, keys, sign_in)
    }

    /// Fetches Slack's signing keys. They are not cached: sign-ins are rare, and Slack may change its keys.
    async fn fetch_openid_keys(&self) -> Result<CoreJsonWebKeySet, SlackError> {
        const OPENID_KEYS: &str = "openid_keys";
        let request = self.http.get(format!("{}/openid/connect/keys", self.base_url));
        self.call_instrumented(OPENID_KEYS, None, async {
            let response = send_request(OPENID_KEYS, request, None).await?;
            response.json().await.map_err(|error| transport_error(OPENID_KEYS, error))
        })
        .await
    }
}

fn verify_id_token(
    id_token: &str,
    app: &OAuthApp,
    keys: CoreJsonWebKeySet,
    sign_in: &PendingSignIn,
) -> Result<SlackIdentity, SignInError> {
    let invalid = |error: &dyn std::fmt::Display| SignInError::InvalidToken(error.to_string());
    let issuer = IssuerUrl::new(OPENID_ISSUER.to_owned()).map_err(|error| invalid(&error))?;
    let secret = ClientSecret::new(app.client_secret.expose_secret().to_owned());
    let verifier = CoreIdTokenVerifier::new_confidential_client(
        ClientId::new(app.client_id.clone()),
        secret,
        issuer,
        keys,
    );
    let token = SlackIdToken::from_str(id_token).map_err(|error| invalid(&error))?;
    let claims =
        token.claims(&verifier, &Nonce::new(sign_in.nonce.clone())).map_err(|error| invalid(&error))?;
    let own = claims.additional_claims();
    let name = claims.name().and_then(|name| name.get(None)).map(|name| name.to_string());
    let email = claims.email().filter(|_| claims.email_verified() == Some(true));
    Ok(SlackIdentity {
        team_id: TeamId::from(own.team_id.as_str()),
        enterprise_id: own.enterprise_id.clone().filter(|id| !id.is_empty()).map(EnterpriseId::from),
        user_id: UserId::from(own.user_id.as_str()),
        name: name.unwrap_or_else(|| own.user_id.clone()),
        email: email.map(|email| email.to_string()),
    })
}
