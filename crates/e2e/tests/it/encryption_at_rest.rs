//! Decrypts everything stored without using the services, by the documented rules: with the stored data keys,
//! and with each value bound to its row.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crypto::{Binding, DataKey, KeyProvider, MasterKeys, WrappedKey};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::test_app::TestApp;

/// The ids of all data keys.
pub(crate) const DATA_KEY_IDS_SQL: &str = "select key_id from encryption_keys order by key_id";

/// Every encrypted column. A rotation checks that none is missing: otherwise it does not begin.
const ENCRYPTED_COLUMNS: [(&str, &str); 14] = [
    ("installations", "bot_token"),
    ("installations", "refresh_token"),
    ("settings", "body"),
    ("settings", "model_key"),
    ("sessions", "name"),
    ("sessions", "email"),
    ("sessions", "browser"),
    ("people", "name"),
    ("people", "profile"),
    ("people", "profile_override"),
    ("events", "body"),
    ("replies", "text"),
    ("replies", "partial_text"),
    ("chat_memory", "text"),
];

/// Returns a master key in the format of `ENCRYPTION_KEYS`.
pub(crate) fn master_key(id: &str, byte: u8) -> String {
    format!("{id}:{}", STANDARD.encode([byte; 32]))
}

impl TestApp {
    /// Decrypts every encrypted value of one snapshot. Returns the number of keys in use.
    pub(crate) fn decrypt_all_values(&self) -> usize {
        let mut used: Vec<Uuid> = self.decrypt_all_texts().into_iter().map(|(key_id, ..)| key_id).collect();
        used.sort_unstable();
        used.dedup();
        used.len()
    }

    /// Decrypts every encrypted value of one snapshot. Returns the key, the column and the text of each.
    pub(crate) fn decrypt_all_texts(&self) -> Vec<(Uuid, String, String)> {
        let values = ENCRYPTED_COLUMNS.map(|(table, column)| {
            format!("select '{table}', '{column}', tenant_id, encode({column}, 'hex') from {table} where {column} is not null")
        });
        // One statement reads one snapshot.
        let sql = format!(
            "select 'key', key_id || ' ' || master_key_id, tenant_id, encode(wrapped_key, 'hex') from encryption_keys
             union all {}",
            values.join(" union all ")
        );
        let answer = self.database.query(&sql);
        let rows: Vec<Vec<&str>> = answer.lines().map(|line| line.split('|').collect()).collect();
        let keys: HashMap<Uuid, DataKey> =
            rows.iter().filter(|row| row[0] == "key").map(|row| self.unwrap_data_key(row)).collect();
        let values = rows.iter().filter(|row| row[0] != "key");
        values
            .map(|row| {
                let sealed = hex::decode(row[3]).expect("hex");
                let key_id = crypto::key_id(&sealed).expect("a ciphertext");
                let key = keys.get(&key_id).unwrap_or_else(|| panic!("{row:?} has no key"));
                let binding = Binding { table: row[0], column: row[1], tenant: row[2] };
                let text = key.open(binding, &sealed).unwrap_or_else(|error| panic!("{row:?}: {error}"));
                (key_id, format!("{}.{}", row[0], row[1]), text.expose_secret().to_owned())
            })
            .collect()
    }

    fn unwrap_data_key(&self, row: &[&str]) -> (Uuid, DataKey) {
        let (id, master_key_id) = row[1].split_once(' ').expect("two ids");
        let (id, master_key_id) = (id.parse().expect("an id"), master_key_id.to_owned());
        let stored = WrappedKey { id, master_key_id, wrapped: hex::decode(row[3]).expect("hex") };
        let master = MasterKeys::parse(&self.settings.secrets.encryption_keys).expect("keys");
        (id, master.unwrap(row[2], &stored).expect("it unwraps"))
    }
}
