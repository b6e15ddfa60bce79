//! Signatures with the master keys. A holder of the keys can verify later that this deployment made a
//! statement.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Derives the signing key from a master key, so that it differs from the wrapping key.
const SIGNING_KEY_CONTEXT: &[u8] = b"enablebot receipt v1";

/// Derives the key of tombstones, so that a tombstone is no signature.
const TOMBSTONE_KEY_CONTEXT: &[u8] = b"enablebot tombstone v1";

/// A signature, with the id of the master key that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key's id in `ENCRYPTION_KEYS`.
    pub master_key_id: String,
    /// HMAC-SHA256.
    pub tag: Vec<u8>,
}

/// Returns a statement's tag under a master key.
pub(crate) fn sign(master: &[u8; 32], statement: &[u8]) -> Vec<u8> {
    statement_mac(master, statement).finalize().into_bytes().to_vec()
}

/// Returns a statement's digest under a master key. It is no signature.
pub(crate) fn digest(master: &[u8; 32], statement: &[u8]) -> Vec<u8> {
    derived_mac(master, TOMBSTONE_KEY_CONTEXT, statement).finalize().into_bytes().to_vec()
}

/// Verifies a statement's tag in constant time.
pub(crate) fn verify(master: &[u8; 32], statement: &[u8], tag: &[u8]) -> bool {
    statement_mac(master, statement).verify_slice(tag).is_ok()
}

fn statement_mac(master: &[u8; 32], statement: &[u8]) -> Hmac<Sha256> {
    derived_mac(master, SIGNING_KEY_CONTEXT, statement)
}

fn derived_mac(master: &[u8; 32], context: &[u8], statement: &[u8]) -> Hmac<Sha256> {
    let derived = Zeroizing::new(<[u8; 32]>::from(hmac_sha256(master, context).finalize().into_bytes()));
    hmac_sha256(&derived, statement)
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("any key length").chain_update(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyProvider, MasterKeys};

    #[test]
    fn signature_binds_statement_and_key() {
        let keys = MasterKeys::parse(&format!("a:{}", "A".repeat(43) + "=")).unwrap();
        let other_keys = MasterKeys::parse(&format!("a:{}E=", "A".repeat(42))).unwrap();
        let signature = keys.sign(b"all of T1 was deleted");
        assert_eq!(keys.verify(b"all of T1 was deleted", &signature), Some(true));
        assert_eq!(keys.verify(b"all of T2 was deleted", &signature), Some(false));
        assert_eq!(other_keys.verify(b"all of T1 was deleted", &signature), Some(false));
        let digests = keys.digest(b"all of T1 was deleted");
        assert_eq!(keys.verify(b"all of T1 was deleted", &digests[0]), Some(false), "a digest signs nothing");
        assert_ne!(digests[0].tag, other_keys.digest(b"all of T1 was deleted")[0].tag);
        let unknown = Signature { master_key_id: "z".into(), ..signature };
        assert_eq!(keys.verify(b"all of T1 was deleted", &unknown), None);
    }
}
