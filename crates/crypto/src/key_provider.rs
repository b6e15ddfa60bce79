//! The interface to the master keys.

use std::fmt;

use crate::ciphertext::SealError;
use crate::data_key::DataKey;
use crate::master_keys::{MasterKeysError, WrappedKey};
use crate::signature::Signature;

/// A store of master keys. Today it is the environment ([`crate::MasterKeys`]); another can replace it
/// without other changes.
///
/// `db` calls these methods inside its transactions, so they must not wait for the network: an implementation
/// that keeps keys elsewhere fetches them when the process starts.
pub trait KeyProvider: fmt::Debug + Send + Sync {
    /// Returns the master keys' ids; the first key wraps and signs, all unwrap and verify.
    fn ids(&self) -> Vec<&str>;
    /// Wraps a tenant's data key under the first master key.
    ///
    /// # Errors
    /// The key cannot be sealed.
    fn wrap(&self, tenant: &str, key: &DataKey) -> Result<WrappedKey, SealError>;
    /// Unwraps a tenant's data key with the master key that wrapped it.
    ///
    /// # Errors
    /// The master key is not in the store, or it is not the one that wrapped the data key.
    fn unwrap(&self, tenant: &str, stored: &WrappedKey) -> Result<DataKey, MasterKeysError>;
    /// Signs a statement with the first master key.
    fn sign(&self, statement: &[u8]) -> Signature;
    /// Checks a statement's signature; `None` if its master key is no longer in the store.
    fn verify(&self, statement: &[u8], signature: &Signature) -> Option<bool>;
    /// Returns a statement's keyed digests, one for each master key, that of the first key first. They serve to
    /// recognize a name without storing it.
    fn digest(&self, statement: &[u8]) -> Vec<Signature>;
}
