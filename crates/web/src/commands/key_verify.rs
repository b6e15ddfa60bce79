//! `web keys verify`: whether everything that is sealed opens with the keys that are here.

use std::process::ExitCode;

use db::rotation::{self, EncryptedColumn};
use db::{Db, DbError};
use models::TenantId;

use super::keys::ProgressLine;

/// Values that are opened in one transaction.
const VERIFY_BATCH_SIZE: i64 = 500;

/// So many rows are named of each column that has some which do not open.
const MAX_LISTED_ROWS: usize = 5;

/// Opens everything, tenant by tenant, and tells what does not.
pub(super) async fn verify_all(db: &Db) -> Result<ExitCode, DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    rotation::check_catalog(&mut tx).await?;
    let tenants = rotation::list_tenants(&mut tx).await?;
    drop(tx);
    let mut progress = ProgressLine::new("opening what is sealed, tenants");
    let (mut opened, mut refused) = (0, 0);
    for (tenant_id, done) in tenants.iter().zip(1..) {
        for place in rotation::encrypted_columns() {
            let (good, bad) = verify_column(db, tenant_id, place).await?;
            opened += good;
            refused += bad.len();
            if !bad.is_empty() {
                progress.clear();
                let (some, count) =
                    (bad.iter().take(MAX_LISTED_ROWS).cloned().collect::<Vec<_>>().join(", "), bad.len());
                println!("{tenant_id}: {count} value(s) of {place:?} do not open: {some}");
            }
        }
        progress.update(done, tenants.len() as u64);
    }
    progress.clear();
    if refused > 0 {
        println!("{refused} value(s) do not open with ENCRYPTION_KEYS, {opened} do.");
        return Ok(ExitCode::FAILURE);
    }
    println!("{opened} value(s) of {} tenant(s) open.", tenants.len());
    Ok(ExitCode::SUCCESS)
}

/// How many values of a place open, and the rows of those that do not.
async fn verify_column(
    db: &Db,
    tenant_id: &TenantId,
    place: EncryptedColumn,
) -> Result<(u64, Vec<String>), DbError> {
    let (mut opened, mut refused, mut after) = (0, Vec::new(), None);
    loop {
        let mut tx = db.begin_cross_tenant().await?;
        let page = rotation::verify(&mut tx, tenant_id, place, after.as_ref(), VERIFY_BATCH_SIZE).await?;
        opened += page.opened;
        refused.extend(page.failed);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok((opened, refused)),
        }
    }
}
