//! Signatures under the master keys: who holds them can tell later that a statement was made by this deployment.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Keeps the key that signs apart from the key that wraps.
const PURPOSE: &[u8] = b"enablebot receipt v1";

/// A signature, with the id of the master key behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Which of `ENCRYPTION_KEYS`.
    pub master_key_id: String,
    /// HMAC-SHA256.
    pub tag: Vec<u8>,
}

/// A statement's tag under a master key.
pub(crate) fn sign(master: &[u8; 32], statement: &[u8]) -> Vec<u8> {
    mac(master, statement).finalize().into_bytes().to_vec()
}

/// Whether the tag is this statement's.
pub(crate) fn verify(master: &[u8; 32], statement: &[u8], tag: &[u8]) -> bool {
    mac(master, statement).verify_slice(tag).is_ok()
}

fn mac(master: &[u8; 32], statement: &[u8]) -> Hmac<Sha256> {
    let derived = Zeroizing::new(<[u8; 32]>::from(keyed(master, PURPOSE).finalize().into_bytes()));
    keyed(&derived, statement)
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn keyed(key: &[u8; 32], message: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("any key length").chain_update(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyProvider, MasterKeys};

    #[test]
    fn a_signature_is_of_one_statement_and_one_key() {
        let keys = MasterKeys::parse(&format!("a:{}", "A".repeat(43) + "=")).unwrap();
        let others = MasterKeys::parse(&format!("a:{}E=", "A".repeat(42))).unwrap();
        let signature = keys.sign(b"all of T1 was deleted");
        assert_eq!(keys.verify(b"all of T1 was deleted", &signature), Some(true));
        assert_eq!(keys.verify(b"all of T2 was deleted", &signature), Some(false));
        assert_eq!(others.verify(b"all of T1 was deleted", &signature), Some(false));
        let unknown = Signature { master_key_id: "z".into(), ..signature };
        assert_eq!(keys.verify(b"all of T1 was deleted", &unknown), None);
    }
}
