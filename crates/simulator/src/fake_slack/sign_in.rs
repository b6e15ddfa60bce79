//! An approved sign-in, and the key that signs id tokens.

use anyhow::Context;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The key id of the only key.
const ID_TOKEN_KEY_ID: &str = "simulated-key";

/// A sign-in that a person approved.
#[derive(Clone)]
pub(crate) struct ApprovedSignIn {
    pub(crate) user: String,
    pub(crate) team: String,
    pub(crate) redirect_uri: String,
    /// True if the app requested the e-mail address.
    pub(crate) is_email_requested: bool,
    pub(crate) nonce: Option<String>,
    /// PKCE's `code_challenge`, always S256.
    pub(crate) code_challenge: Option<String>,
}

/// The RSA key that signs id tokens, as Slack's do (RS256).
pub(crate) struct IdTokenKey(KeyPair);

impl IdTokenKey {
    pub(super) fn generate() -> anyhow::Result<Self> {
        Ok(Self(KeyPair::generate(KeySize::Rsa2048).ok().context("no RSA key could be made")?))
    }

    /// Returns the public key in the format of `/openid/connect/keys`.
    pub(crate) fn jwks(&self) -> Value {
        // PKCS#1 in DER; at 2048 bits and the usual exponent 65537 the modulus always lies here.
        let modulus = self.0.public_key().as_ref().get(9..265).unwrap_or_default();
        let n = URL_SAFE_NO_PAD.encode(modulus);
        json!({"keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": ID_TOKEN_KEY_ID, "n": n, "e": "AQAB",
        }]})
    }

    /// Signs a JWT with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            part(&json!({"alg": "RS256", "typ": "JWT", "kid": ID_TOKEN_KEY_ID})),
            part(claims)
        );
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .ok()
            .context("the token could not be signed")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
