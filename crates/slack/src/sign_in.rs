//! Sign in with Slack: OpenID Connect with a state, a nonce and PKCE. What Slack says of a person is believed only once its
//! signature, issuer, audience, time and nonce are checked.
//! Source: <https://docs.slack.dev/authentication/sign-in-with-slack>

use std::str::FromStr;

use models::{TeamId, UserId};
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

/// Who Slack says it is, wherever it is reached.
const OPENID_ISSUER: &str = "https://slack.com";

const OPENID_SCOPES: &str = "openid profile email";

const OPENID_TOKEN: &str = "openid.connect.token";

/// What the browser has to bring back, and what it must not be able to make up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingSignIn {
    /// Comes back in the address.
    pub state: String,
    /// Comes back in the signed token.
    pub nonce: String,
    /// Shows Slack that whoever ends the sign-in has begun it.
    #[serde(serialize_with = "expose")]
    pub verifier: SecretString,
}

/// Who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackIdentity {
    /// Their workspace.
    pub team_id: TeamId,
    /// Who they are there.
    pub user_id: UserId,
    /// What they are called.
    pub name: String,
    /// Their address, if Slack has verified that it is theirs.
    pub email: Option<String>,
}

/// Why nobody has signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Slack refused, or did not answer.
    #[error(transparent)]
    Slack(#[from] SlackError),
    /// What Slack sent cannot be believed.
    #[error("the id token is not good: {0}")]
    InvalidToken(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SlackClaims {
    #[serde(rename = "https://slack.com/team_id")]
    team_id: String,
    #[serde(rename = "https://slack.com/user_id")]
    user_id: String,
}

impl AdditionalClaims for SlackClaims {}

type SlackIdToken =
    IdToken<SlackClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

#[derive(Deserialize)]
struct OpenIdTokenResponse {
    id_token: String,
}

/// For the browser to keep: whoever stores it seals it.
fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl PendingSignIn {
    /// A new one, of the system's randomness.
    pub fn generate() -> Self {
        let random = || Nonce::new_random_len(32).secret().to_owned();
        let (_, verifier) = PkceCodeChallenge::new_random_sha256();
        Self { state: random(), nonce: random(), verifier: verifier.into_secret().into() }
    }

    /// Where the browser goes to sign in.
    ///
    /// # Errors
    /// The base address is none.
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
    /// `openid.connect.token`: who a code stands for.
    ///
    /// # Errors
    /// Slack does not take the code or does not answer, or its token is not signed by it, for this app, now, and for this
    /// sign-in.
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
        let answer = self.send(OPENID_TOKEN, None, request).await?;
        let tokens =
            OpenIdTokenResponse::deserialize(answer).map_err(|_| missing_field_error(OPENID_TOKEN))?;
        let keys = self.fetch_openid_keys().await?;
        verify_id_token(&tokens.id_token, app, keys, sign_in)
    }

    /// Asked anew each time: people sign in seldom, and Slack may change its keys.
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
    let bad = |error: &dyn std::fmt::Display| SignInError::InvalidToken(error.to_string());
    let issuer = IssuerUrl::new(OPENID_ISSUER.to_owned()).map_err(|error| bad(&error))?;
    let secret = ClientSecret::new(app.client_secret.expose_secret().to_owned());
    let verifier = CoreIdTokenVerifier::new_confidential_client(
        ClientId::new(app.client_id.clone()),
        secret,
        issuer,
        keys,
    );
    let token = SlackIdToken::from_str(id_token).map_err(|error| bad(&error))?;
    let claims = token.claims(&verifier, &Nonce::new(sign_in.nonce.clone())).map_err(|error| bad(&error))?;
    let own = claims.additional_claims();
    let name = claims.name().and_then(|name| name.get(None)).map(|name| name.to_string());
    let email = claims.email().filter(|_| claims.email_verified() == Some(true));
    Ok(SlackIdentity {
        team_id: TeamId::from(own.team_id.as_str()),
        user_id: UserId::from(own.user_id.as_str()),
        name: name.unwrap_or_else(|| own.user_id.clone()),
        email: email.map(|email| email.to_string()),
    })
}
