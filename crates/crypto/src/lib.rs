//! Envelope encryption: a data key a tenant, wrapped by a master key of the deployment; AES-256-GCM for both.
//!
//! Each ciphertext is bound to its table, column and tenant: moved to another place it does not open. No I/O; who
//! stores the wrapped keys is `db`.

mod data_key;
mod master_keys;
mod provider;
mod receipt;
mod sealed;

pub use data_key::DataKey;
pub use master_keys::{MasterKeys, MasterKeysError, WrappedKey};
pub use provider::KeyProvider;
pub use receipt::Signature;
pub use sealed::{Binding, SealError, key_id};
