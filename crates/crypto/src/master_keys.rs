//! The deployment's master keys, from `ENCRYPTION_KEYS`: the first wraps, all unwrap.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::ciphertext::{Binding, SealError, open, seal};
use crate::data_key::DataKey;
use crate::key_provider::KeyProvider;
use crate::signature::{self, Signature};

/// An error in `ENCRYPTION_KEYS`, or in a data key that they wrap. It never contains a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeysError {
    /// The list is empty.
    #[error("no key is set")]
    Empty,
    /// An entry does not start with `id:`.
    #[error("entry {0} is not in the form id:key")]
    MissingId(usize),
    /// An entry's key is not 32 bytes of base64.
    #[error("the key \"{0}\" is not 32 bytes in base64")]
    InvalidKey(String),
    /// Two entries share an id.
    #[error("the id \"{0}\" appears twice")]
    DuplicateId(String),
    /// A data key names a master key that is not in the list.
    #[error("the master key \"{0}\" is not in ENCRYPTION_KEYS")]
    UnknownKey(String),
    /// A data key cannot be unwrapped with the master key that it names.
    #[error("cannot unwrap a data key with the master key \"{0}\": the key or the row was changed")]
    UnwrapFailed(String),
}

struct MasterKey {
    id: String,
    bytes: Zeroizing<[u8; 32]>,
}

/// The deployment's master keys, in the order of `ENCRYPTION_KEYS`.
pub struct MasterKeys(Vec<MasterKey>);

impl std::fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// A data key as the database stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The data key's id.
    pub id: Uuid,
    /// The master key that wraps it.
    pub master_key_id: String,
    /// The data key, sealed.
    pub wrapped: Vec<u8>,
}

impl MasterKeys {
    /// Parses a comma-separated list of `id:base64-of-32-bytes`.
    pub fn parse(list: &str) -> Result<Self, MasterKeysError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        for (index, entry) in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
            let key = parse_entry(index, entry)?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(MasterKeysError::DuplicateId(key.id));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(MasterKeysError::Empty) } else { Ok(Self(keys)) }
    }

    fn first(&self) -> &MasterKey {
        &self.0[0]
    }

    fn find(&self, id: &str) -> Option<&MasterKey> {
        self.0.iter().find(|master| master.id == id)
    }
}

impl KeyProvider for MasterKeys {
    fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|master| master.id.as_str()).collect()
    }

    fn wrap(&self, tenant: &str, key: &DataKey) -> Result<WrappedKey, SealError> {
        let master = self.first();
        let wrapped = seal(&master.bytes, key.id(), binding(tenant), key.bytes())?;
        Ok(WrappedKey { id: key.id(), master_key_id: master.id.clone(), wrapped })
    }

    fn unwrap(&self, tenant: &str, stored: &WrappedKey) -> Result<DataKey, MasterKeysError> {
        let master = self
            .find(&stored.master_key_id)
            .ok_or_else(|| MasterKeysError::UnknownKey(stored.master_key_id.clone()))?;
        let unwrap_failed = || MasterKeysError::UnwrapFailed(stored.master_key_id.clone());
        let bytes = open(&master.bytes, binding(tenant), &stored.wrapped).map_err(|_| unwrap_failed())?;
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| unwrap_failed())?;
        Ok(DataKey::from_parts(stored.id, Zeroizing::new(bytes)))
    }

    fn sign(&self, statement: &[u8]) -> Signature {
        let master = self.first();
        Signature { master_key_id: master.id.clone(), tag: signature::sign(&master.bytes, statement) }
    }

    fn verify(&self, statement: &[u8], signature: &Signature) -> Option<bool> {
        let master = self.find(&signature.master_key_id)?;
        Some(signature::verify(&master.bytes, statement, &signature.tag))
    }

    fn digest(&self, statement: &[u8]) -> Vec<Signature> {
        let digest = |master: &MasterKey| Signature {
            master_key_id: master.id.clone(),
            tag: signature::digest(&master.bytes, statement),
        };
        self.0.iter().map(digest).collect()
    }
}

fn binding(tenant: &str) -> Binding<'_> {
    Binding { table: "encryption_keys", column: "wrapped_key", tenant }
}

fn parse_entry(index: usize, entry: &str) -> Result<MasterKey, MasterKeysError> {
    let (id, key) = entry.split_once(':').ok_or(MasterKeysError::MissingId(index + 1))?;
    if id.trim().is_empty() {
        return Err(MasterKeysError::MissingId(index + 1));
    }
    let invalid_key = || MasterKeysError::InvalidKey(id.to_owned());
    let bytes = Zeroizing::new(STANDARD.decode(key.trim()).map_err(|_| invalid_key())?);
    let bytes = bytes.as_slice().try_into().map_err(|_| invalid_key())?;
    Ok(MasterKey { id: id.trim().to_owned(), bytes: Zeroizing::new(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, byte: u8) -> String {
        format!("{id}:{}", STANDARD.encode([byte; 32]))
    }

    #[test]
    fn rotated_master_key_unwraps_old_data_keys() {
        let data_key = DataKey::generate();
        let stored = MasterKeys::parse(&key("old", 1)).unwrap().wrap("T1", &data_key).unwrap();
        let both = MasterKeys::parse(&format!("{}, {}", key("new", 2), key("old", 1))).unwrap();
        assert_eq!(both.unwrap("T1", &stored).unwrap().bytes(), data_key.bytes());
        assert_eq!(both.wrap("T1", &data_key).unwrap().master_key_id, "new");
        assert!(matches!(both.unwrap("T2", &stored), Err(MasterKeysError::UnwrapFailed(_))));
        let without = MasterKeys::parse(&key("new", 2)).unwrap();
        assert!(matches!(without.unwrap("T1", &stored), Err(MasterKeysError::UnknownKey(_))));
    }

    #[test]
    fn malformed_key_list_error_hides_keys() {
        let short = STANDARD.encode([7; 31]);
        let cases = [
            ("".to_owned(), MasterKeysError::Empty),
            (" , ".to_owned(), MasterKeysError::Empty),
            (short.clone(), MasterKeysError::MissingId(1)),
            (format!("a:{short}"), MasterKeysError::InvalidKey("a".into())),
            (format!("{},{}", key("a", 1), key("a", 2)), MasterKeysError::DuplicateId("a".into())),
        ];
        for (list, expected) in cases {
            let error = MasterKeys::parse(&list).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains(&short));
        }
    }
}
