//! The ciphertext format, and the table, column and tenant that a ciphertext is bound to.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use rand::RngExt;
use uuid::Uuid;
use zeroize::Zeroizing;

const CIPHERTEXT_VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// A failure to seal or open. It says no more than this, so that it cannot serve as an oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short, or an unknown version.
    #[error("malformed ciphertext: too short, or an unknown version")]
    Malformed,
    /// The key or the binding is wrong, or bytes were changed.
    #[error("ciphertext authentication failed: wrong key, wrong binding, or changed bytes")]
    AuthenticationFailed,
}

/// The table, column and tenant of a secret. Its ciphertext opens with no other binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The column's name.
    pub column: &'a str,
    /// The tenant's id.
    pub tenant: &'a str,
}

impl Binding<'_> {
    fn authenticated_data(&self, key_id: Uuid) -> Vec<u8> {
        // Each part follows its length: no two bindings share an encoding.
        let mut data = vec![CIPHERTEXT_VERSION];
        for part in [self.table, self.column, self.tenant] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data.extend_from_slice(key_id.as_bytes());
        data
    }
}

/// Returns the id of the data key that sealed a ciphertext.
pub fn key_id(sealed: &[u8]) -> Result<Uuid, SealError> {
    match sealed {
        [CIPHERTEXT_VERSION, rest @ ..] if sealed.len() > HEADER_BYTES => {
            Uuid::from_slice(&rest[..KEY_ID_BYTES]).map_err(|_| SealError::Malformed)
        }
        _ => Err(SealError::Malformed),
    }
}

/// Returns `version ‖ key id ‖ nonce ‖ ciphertext and tag`. The nonce is random: a key seals far fewer than
/// 2^32 messages.
pub(crate) fn seal(
    key: &[u8; 32],
    key_id: Uuid,
    binding: Binding<'_>,
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let nonce: [u8; NONCE_BYTES] = rand::rng().random();
    let payload = Payload { msg: plaintext, aad: &binding.authenticated_data(key_id) };
    let ciphertext = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
        .encrypt(&Nonce::from(nonce), payload)
        .map_err(|_| SealError::AuthenticationFailed)?;
    let mut sealed = Vec::with_capacity(HEADER_BYTES + ciphertext.len());
    sealed.push(CIPHERTEXT_VERSION);
    sealed.extend_from_slice(key_id.as_bytes());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

/// Reverses [`seal`]; the plaintext is wiped when it is dropped.
pub(crate) fn open(
    key: &[u8; 32],
    binding: Binding<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let key_id = key_id(sealed)?;
    let (header, ciphertext) = sealed.split_at(HEADER_BYTES);
    let nonce: [u8; NONCE_BYTES] = header[1 + KEY_ID_BYTES..].try_into().map_err(|_| SealError::Malformed)?;
    let payload = Payload { msg: ciphertext, aad: &binding.authenticated_data(key_id) };
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
        .decrypt(&Nonce::from(nonce), payload)
        .map(Zeroizing::new)
        .map_err(|_| SealError::AuthenticationFailed)
}
