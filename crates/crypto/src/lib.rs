//! Envelope encryption: a data key a tenant, wrapped by a master key of the deployment; AES-256-GCM for both.
//!
//! Each ciphertext is bound to its table, column and tenant: moved to another place it does not open. No I/O; who
//! stores the wrapped keys is `db`.

mod ciphertext;
mod data_key;
mod key_provider;
mod master_keys;
mod signature;

pub use ciphertext::{Binding, SealError, key_id};
pub use data_key::DataKey;
pub use key_provider::KeyProvider;
pub use master_keys::{MasterKeys, MasterKeysError, WrappedKey};
pub use signature::Signature;
