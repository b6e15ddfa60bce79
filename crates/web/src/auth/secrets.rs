//! Secrets that are handed out, of which only digests are stored.

use rand::RngExt;
use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// Creates a secret: 32 random bytes in hex.
pub(crate) fn random_secret() -> SecretString {
    hex::encode(rand::rng().random::<[u8; 32]>()).into()
}

/// Creates a key for `POST /api/chat`: 256 random bits, in characters that a double click selects.
pub(crate) fn new_api_key() -> SecretString {
    format!("eb_{}", Alphanumeric.sample_string(&mut rand::rng(), 43)).into()
}

/// Returns the digest of a browser's secret, as it is stored.
pub(crate) fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}
