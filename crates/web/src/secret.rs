//! Secrets that a browser holds for this service, and what is kept of them here.

use rand::RngExt;
use sha2::{Digest, Sha256};

/// A new one: 32 random bytes in hex.
pub(crate) fn random() -> String {
    hex::encode(rand::rng().random::<[u8; 32]>())
}

/// What is kept of one.
pub(crate) fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}
