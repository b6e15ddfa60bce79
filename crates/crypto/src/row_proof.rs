//! Keyed digests over what a row of the database grants. Someone who can write to the database cannot make
//! them.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Derives the key of session rows from `SESSION_SECRET`, so that it differs from the key of cookies.
const SESSION_ROWS_CONTEXT: &[u8] = b"enablebot session rows v1";

/// The content of a row that a digest covers, as bytes.
///
/// Each part follows its length, so no two contents share an encoding. The first part is the kind of row.
#[derive(Debug)]
pub struct RowStatement(Vec<u8>);

impl RowStatement {
    /// Begins the statement of a kind of row.
    pub fn new(kind: &str) -> Self {
        Self(Vec::new()).with(kind.as_bytes())
    }

    /// Appends a value of the row.
    #[must_use]
    pub fn with(mut self, part: &[u8]) -> Self {
        self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.0.extend_from_slice(part);
        self
    }

    /// Appends a value that the row may lack.
    #[must_use]
    pub fn with_optional(self, part: Option<&[u8]>) -> Self {
        let is_present = [u8::from(part.is_some())];
        self.with(&is_present).with(part.unwrap_or_default())
    }

    /// Returns the bytes to sign or verify.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The key that signs the rows of sessions. Its bytes are never printed, and are wiped when it is dropped.
#[derive(Clone)]
pub struct SessionKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey")
    }
}

impl SessionKey {
    /// Derives the key from `SESSION_SECRET`.
    pub fn derive(session_secret: &[u8]) -> Self {
        Self(Zeroizing::new(hmac_sha256(session_secret, SESSION_ROWS_CONTEXT).finalize().into_bytes().into()))
    }

    /// Returns the digest of a statement.
    pub fn sign(&self, statement: &RowStatement) -> [u8; 32] {
        hmac_sha256(&*self.0, statement.as_bytes()).finalize().into_bytes().into()
    }

    /// Verifies the digest of a statement in constant time.
    pub fn verify(&self, statement: &RowStatement, digest: &[u8]) -> bool {
        hmac_sha256(&*self.0, statement.as_bytes()).verify_slice(digest).is_ok()
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn hmac_sha256(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("any key length").chain_update(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_digest_binds_every_part() {
        let row = || RowStatement::new("session").with(b"T1").with(b"U1").with_optional(None);
        let key = SessionKey::derive(&[7; 32]);
        let digest = key.sign(&row());
        assert!(key.verify(&row(), &digest));
        for other in [
            RowStatement::new("sessions").with(b"T1").with(b"U1").with_optional(None),
            RowStatement::new("session").with(b"T1U").with(b"1").with_optional(None),
            RowStatement::new("session").with(b"T1").with(b"U2").with_optional(None),
            RowStatement::new("session").with(b"T1").with(b"U1").with_optional(Some(b"")),
            row().with(b""),
        ] {
            assert!(!key.verify(&other, &digest), "{other:?}");
        }
        assert!(!SessionKey::derive(&[8; 32]).verify(&row(), &digest));
        assert!(!key.verify(&row(), &digest[..31]));
    }
}
