//! `web keys status`: lists the keys, and what still needs each.

use std::process::ExitCode;

use chrono::TimeDelta;
use db::operators::{MasterKeyState, RetiredDataKey};
use db::{Db, DbError};

use crate::cli::{format_time, table};

/// Retired keys that are listed.
const MAX_SHOWN_RETIRED_KEYS: i64 = 50;

pub(super) async fn print_key_status(db: &Db, older_than: TimeDelta) -> Result<ExitCode, DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    let masters = db::operators::load_key_state(&mut tx).await?.master_keys;
    let counts = db::operators::count_data_keys(&mut tx, older_than).await?;
    let retired = db::operators::list_retired_keys(&mut tx, MAX_SHOWN_RETIRED_KEYS).await?;
    drop(tx);
    let rows = masters.iter().enumerate().map(|(index, master)| {
        vec![
            Some(master.id.clone()),
            Some(master.data_keys.to_string()),
            Some(master.api_keys.to_string()),
            Some(master.receipts.to_string()),
            Some(describe_master_key(index, master)),
        ]
    });
    println!("{}", table(&["master key", "data keys", "API keys", "receipts", "state"], rows));
    println!("Data keys: {} current, {} retired, {} due.", counts.current, counts.retired, counts.due);
    if !retired.is_empty() {
        let mut rows = Vec::new();
        for key in retired {
            rows.push(describe_retired_key(db, key).await?);
        }
        println!("{}", table(&["tenant", "retired key", "retired at", "still encrypts"], rows.into_iter()));
        println!(
            "`web keys rotate` re-encrypts these values and deletes the retired keys; so does `web` in the \
             background."
        );
    }
    let is_missing = masters.iter().any(|master| !master.is_known && master.is_needed());
    Ok(if is_missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn describe_master_key(index: usize, master: &MasterKeyState) -> String {
    match (master.is_known, index, master.is_needed(), master.receipts) {
        (false, _, false, _) => "not in ENCRYPTION_KEYS: its receipts cannot be verified".to_owned(),
        (false, ..) => {
            "MISSING: data under these data keys cannot be decrypted, and its API keys do not work".to_owned()
        }
        (true, 0, ..) => "active: wraps new data keys, signs new API keys and receipts".to_owned(),
        (true, _, false, 0) => "safe to remove".to_owned(),
        (true, _, false, receipts) => {
            format!("safe to remove, unless {receipts} deletion receipt(s) must stay verifiable")
        }
        (true, ..) => {
            "still needed: `web keys rotate` re-wraps its data keys and re-signs its API keys".to_owned()
        }
    }
}

async fn describe_retired_key(db: &Db, key: RetiredDataKey) -> Result<Vec<Option<String>>, DbError> {
    let left = db::rotation::count_remaining(&mut db.begin(&key.tenant_id).await?, &key.tenant_id).await?;
    let remaining = left.iter().filter(|left| left.key_id == key.key_id);
    let remaining: Vec<String> =
        remaining.map(|left| format!("{} of {}", left.values, left.column)).collect();
    let remaining = if remaining.is_empty() { "nothing".to_owned() } else { remaining.join(", ") };
    Ok(vec![
        Some(key.tenant_id.to_string()),
        Some(key.key_id.to_string()),
        Some(format_time(key.retired_at)),
        Some(remaining),
    ])
}
