//! Slack's request signature, version 0.
//! Source: <https://docs.slack.dev/authentication/verifying-requests-from-slack>

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The largest difference between a request's timestamp and now, in seconds. Beyond it a request counts as a
/// replay.
pub const MAX_AGE_SECONDS: i64 = 300;

/// The header with the signing time in Unix seconds.
pub const TIMESTAMP_HEADER: &str = "x-slack-request-timestamp";

/// The header with `v0=` and the signature in lower-case hex.
pub const SIGNATURE_HEADER: &str = "x-slack-signature";

/// A failed signature check. It never contains the expected signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// One of the two headers is absent.
    #[error("the signature or timestamp header is missing")]
    Missing,
    /// The timestamp is not a number, or too far from now.
    #[error("the timestamp is not a number, or more than {MAX_AGE_SECONDS} seconds from now")]
    Stale,
    /// The signature was made with another secret or for another body.
    #[error("the signature does not match")]
    Mismatch,
}

/// The app's signing secret, shared with Slack.
#[derive(Clone, Debug)]
pub struct SigningSecret(SecretString);

impl SigningSecret {
    /// Wraps the secret from Slack's app page.
    pub fn new(secret: SecretString) -> Self {
        Self(secret)
    }

    /// Verifies the signature of a request's raw body in constant time. `now` is in Unix seconds.
    pub fn verify(
        &self,
        timestamp: Option<&str>,
        signature: Option<&str>,
        body: &[u8],
        now: i64,
    ) -> Result<(), SignatureError> {
        let (Some(timestamp), Some(signature)) = (timestamp, signature) else {
            return Err(SignatureError::Missing);
        };
        let signed_at: i64 = timestamp.parse().map_err(|_| SignatureError::Stale)?;
        if now.abs_diff(signed_at) > MAX_AGE_SECONDS.unsigned_abs() {
            return Err(SignatureError::Stale);
        }
        let claimed = signature
            .strip_prefix("v0=")
            .and_then(|digits| hex::decode(digits).ok())
            .ok_or(SignatureError::Mismatch)?;
        self.mac(timestamp, body).verify_slice(&claimed).map_err(|_| SignatureError::Mismatch)
    }

    /// Signs a body as Slack does, for the simulator, tests and benchmarks.
    pub fn sign(&self, timestamp: i64, body: &[u8]) -> String {
        format!("v0={}", hex::encode(self.mac(&timestamp.to_string(), body).finalize().into_bytes()))
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes()).expect("any key length");
        mac.update(b"v0:");
        mac.update(timestamp.as_bytes());
        mac.update(b":");
        mac.update(body);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of Slack's SDKs: secret, body and signature.
    const VECTORS: [(&str, &str, &str); 2] = [
        (
            "8f742231b10e8888abcd99yyyzzz85a5",
            "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        ),
        (
            "fa2c05deeef5a4077494e89f54394de0",
            "test-body",
            "v0=baa91ef62d346e56607bbdd278a8acd570b91226854f15a382f43d33be42f666",
        ),
    ];
    const SIGNED_AT: i64 = 1_531_420_618;

    #[test]
    fn official_signature_vectors_match() {
        for (secret, body, signature) in VECTORS {
            let secret = SigningSecret::new(secret.into());
            assert_eq!(secret.sign(SIGNED_AT, body.as_bytes()), signature);
            let verify = |signature, body: &str, now| {
                secret.verify(Some(&SIGNED_AT.to_string()), signature, body.as_bytes(), now)
            };
            assert_eq!(verify(Some(signature), body, SIGNED_AT + 300), Ok(()));
            assert_eq!(verify(Some(signature), body, SIGNED_AT + 301), Err(SignatureError::Stale));
            assert_eq!(verify(Some(signature), body, SIGNED_AT - 301), Err(SignatureError::Stale));
            assert_eq!(verify(Some(signature), "other", SIGNED_AT), Err(SignatureError::Mismatch));
            assert_eq!(verify(Some("v0=00"), body, SIGNED_AT), Err(SignatureError::Mismatch));
            assert_eq!(verify(Some("nonsense"), body, SIGNED_AT), Err(SignatureError::Mismatch));
            assert_eq!(verify(None, body, SIGNED_AT), Err(SignatureError::Missing));
        }
    }

    #[test]
    fn non_numeric_timestamp_is_stale() {
        let secret = SigningSecret::new("s".into());
        for timestamp in ["", "soon", "99999999999999999999", "-9223372036854775808"] {
            assert_eq!(
                secret.verify(Some(timestamp), Some("v0=00"), b"", SIGNED_AT),
                Err(SignatureError::Stale)
            );
        }
    }
}
