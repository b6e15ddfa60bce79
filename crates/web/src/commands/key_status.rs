//! `web keys status`: which keys there are, and what still needs each.

use std::process::ExitCode;

use chrono::TimeDelta;
use db::operators::{MasterKeyState, RetiredKey};
use db::{Db, DbError};

use super::{table, time};

/// Retired keys that are shown with what they still hold.
const SHOWN: i64 = 50;

pub(super) async fn print(db: &Db, older_than: TimeDelta) -> Result<ExitCode, DbError> {
    let mut tx = db.begin_for_all().await?;
    let masters = db::operators::keys(&mut tx).await?.masters;
    let counts = db::operators::count_data_keys(&mut tx, older_than).await?;
    let retired = db::operators::list_retired_keys(&mut tx, SHOWN).await?;
    drop(tx);
    let rows = masters.iter().enumerate().map(|(place, master)| {
        let (data_keys, receipts) = (master.data_keys.to_string(), master.receipts.to_string());
        vec![Some(master.id.clone()), Some(data_keys), Some(receipts), Some(judge(place, master))]
    });
    println!("{}", table(&["master key", "data keys", "receipts", "state"], rows));
    println!("Data keys: {} current, {} retired, {} due.", counts.current, counts.retired, counts.due);
    if !retired.is_empty() {
        let mut rows = Vec::new();
        for key in retired {
            rows.push(describe(db, key).await?);
        }
        println!("{}", table(&["tenant", "retired key", "retired at", "still seals"], rows.into_iter()));
        println!(
            "`web keys rotate` seals that anew and deletes the retired keys; so does `web`, as it runs."
        );
    }
    let is_missing = masters.iter().any(|master| !master.is_known && master.data_keys > 0);
    Ok(if is_missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn judge(place: usize, master: &MasterKeyState) -> String {
    match (master.is_known, place, master.data_keys, master.receipts) {
        (false, _, 0, _) => "not among ENCRYPTION_KEYS: its receipts cannot be checked".to_owned(),
        (false, ..) => "MISSING: without it nothing under these data keys opens".to_owned(),
        (true, 0, ..) => "wraps and signs what is new".to_owned(),
        (true, _, 0, 0) => "safe to remove".to_owned(),
        (true, _, 0, receipts) => {
            format!("safe to remove, if {receipts} receipt(s) of deletion need not be checked any more")
        }
        (true, ..) => "still needed: `web keys rotate` wraps its data keys anew".to_owned(),
    }
}

async fn describe(db: &Db, key: RetiredKey) -> Result<Vec<Option<String>>, DbError> {
    let left = db::rotation::count_left(&mut db.begin(&key.tenant_id).await?, &key.tenant_id).await?;
    let places = left.iter().filter(|left| left.key_id == key.key_id);
    let places: Vec<String> = places.map(|left| format!("{} of {}", left.values, left.place)).collect();
    let still = if places.is_empty() { "nothing".to_owned() } else { places.join(", ") };
    Ok(vec![
        Some(key.tenant_id.to_string()),
        Some(key.key_id.to_string()),
        Some(time(key.retired_at)),
        Some(still),
    ])
}
