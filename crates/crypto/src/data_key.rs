//! A tenant's data key, which seals all of its secrets and texts.

use rand::RngExt;
use secrecy::SecretString;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::ciphertext::{Binding, SealError, open, seal};

/// A tenant's 256-bit key. Its bytes are never printed, and are wiped when it is dropped.
pub struct DataKey {
    id: Uuid,
    bytes: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

impl DataKey {
    /// Returns a new random key.
    pub fn generate() -> Self {
        Self { id: Uuid::now_v7(), bytes: Zeroizing::new(rand::rng().random()) }
    }

    pub(crate) fn from_parts(id: Uuid, bytes: Zeroizing<[u8; 32]>) -> Self {
        Self { id, bytes }
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Returns the id that every ciphertext of this key contains.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Seals a text for one binding.
    pub fn seal(&self, binding: Binding<'_>, plaintext: &str) -> Result<Vec<u8>, SealError> {
        seal(&self.bytes, self.id, binding, plaintext.as_bytes())
    }

    /// Opens a text that [`DataKey::seal`] sealed for the same binding.
    pub fn open(&self, binding: Binding<'_>, sealed: &[u8]) -> Result<SecretString, SealError> {
        let plaintext = open(&self.bytes, binding, sealed)?;
        let text = std::str::from_utf8(&plaintext).map_err(|_| SealError::Malformed)?;
        Ok(SecretString::from(text))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const TOKEN_BINDING: Binding<'_> = Binding { table: "installations", column: "bot_token", tenant: "T1" };

    #[test]
    fn ciphertext_is_bound_to_its_row() {
        let key = DataKey::generate();
        let sealed = key.seal(TOKEN_BINDING, "xoxb-1").unwrap();
        assert_eq!(key.open(TOKEN_BINDING, &sealed).unwrap().expose_secret(), "xoxb-1");
        for other_binding in [
            Binding { tenant: "T2", ..TOKEN_BINDING },
            Binding { column: "refresh_token", ..TOKEN_BINDING },
            Binding { table: "installation", column: "sbot_token", ..TOKEN_BINDING },
        ] {
            assert_eq!(key.open(other_binding, &sealed).unwrap_err(), SealError::AuthenticationFailed);
        }
        assert_eq!(
            DataKey::generate().open(TOKEN_BINDING, &sealed).unwrap_err(),
            SealError::AuthenticationFailed
        );
    }

    #[test]
    fn tampered_ciphertext_is_rejected() {
        let key = DataKey::generate();
        let sealed = key.seal(TOKEN_BINDING, "xoxb-1").unwrap();
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(key.open(TOKEN_BINDING, &changed).is_err(), "byte {position}");
        }
        for length in 0..sealed.len() {
            assert!(key.open(TOKEN_BINDING, &sealed[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn equal_plaintexts_seal_differently() {
        let key = DataKey::generate();
        assert_ne!(key.seal(TOKEN_BINDING, "a").unwrap(), key.seal(TOKEN_BINDING, "a").unwrap());
    }
}
