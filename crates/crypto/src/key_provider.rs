//! Who keeps the master keys.

use std::fmt;

use crate::ciphertext::SealError;
use crate::data_key::DataKey;
use crate::master_keys::{MasterKeysError, WrappedKey};
use crate::signature::Signature;

/// Who keeps the master keys: the environment today ([`crate::MasterKeys`]). Another one can stand in its place without anything
/// else noticing. `db` asks inside its transactions, so none of this may wait for a network: what is kept elsewhere is
/// fetched as the process starts.
pub trait KeyProvider: fmt::Debug + Send + Sync {
    /// The master keys' ids; the first wraps and signs, all unwrap and verify.
    fn ids(&self) -> Vec<&str>;
    /// Wraps a tenant's data key under the first master key.
    ///
    /// # Errors
    /// The key cannot be sealed.
    fn wrap(&self, tenant: &str, key: &DataKey) -> Result<WrappedKey, SealError>;
    /// Unwraps a tenant's data key under the master key that wrapped it.
    ///
    /// # Errors
    /// That master key is not here, or it is another one.
    fn unwrap(&self, tenant: &str, stored: &WrappedKey) -> Result<DataKey, MasterKeysError>;
    /// Signs a statement under the first master key.
    fn sign(&self, statement: &[u8]) -> Signature;
    /// Whether the signature is this statement's; `None` where its master key is not here any more.
    fn verify(&self, statement: &[u8], signature: &Signature) -> Option<bool>;
}
