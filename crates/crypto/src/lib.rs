//! Envelope encryption: one data key per tenant, wrapped by a master key of the deployment; AES-256-GCM for
//! both.
//!
//! Each ciphertext is bound to its table, column and tenant: it does not open anywhere else. No I/O; `db`
//! stores the wrapped keys.

mod ciphertext;
mod data_key;
mod key_provider;
mod master_keys;
mod row_proof;
mod signature;

pub use ciphertext::{Binding, SealError, key_id};
pub use data_key::DataKey;
pub use key_provider::KeyProvider;
pub use master_keys::{MasterKeys, MasterKeysError, WrappedKey};
pub use row_proof::{RowStatement, SessionKey};
pub use signature::Signature;
