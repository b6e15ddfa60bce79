//! Secrets that others hold for this service, and what is kept of them here.

use rand::RngExt;
use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// A new one: 32 random bytes in hex.
pub(crate) fn random_secret() -> SecretString {
    hex::encode(rand::rng().random::<[u8; 32]>()).into()
}

/// A new key for `POST /api/chat`: as many random bits, in characters that a double click selects. `db::api_keys` knows what is
/// kept of it.
pub(crate) fn new_api_key() -> SecretString {
    format!("eb_{}", Alphanumeric.sample_string(&mut rand::rng(), 43)).into()
}

/// What is kept of one that a browser holds.
pub(crate) fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}
