//! `web keys verify`: checks that everything stored can be decrypted.

use std::process::ExitCode;

use db::rotation::{self, EncryptedColumn};
use db::{Db, DbError};
use models::TenantId;

use crate::cli::progress::ProgressLine;

/// Values that are decrypted in one transaction.
const VERIFY_BATCH_SIZE: i64 = 500;

/// Rows that are named per column with failures.
const MAX_LISTED_ROWS: usize = 5;

/// Decrypts everything, tenant by tenant, and prints the failures.
pub(super) async fn verify_all(db: &Db) -> Result<ExitCode, DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    rotation::check_catalog(&mut tx).await?;
    let tenants = rotation::list_tenants(&mut tx).await?;
    drop(tx);
    let mut progress = ProgressLine::new("verifying, tenants");
    let (mut opened, mut failed) = (0, 0);
    for (tenant_id, done) in tenants.iter().zip(1..) {
        for column in rotation::encrypted_columns() {
            let (good, bad) = verify_column(db, tenant_id, column).await?;
            opened += good;
            failed += bad.len();
            if !bad.is_empty() {
                progress.clear();
                let (rows, count) =
                    (bad.iter().take(MAX_LISTED_ROWS).cloned().collect::<Vec<_>>().join(", "), bad.len());
                println!("{tenant_id}: {count} value(s) of {column:?} cannot be decrypted: {rows}");
            }
        }
        progress.update(done, tenants.len() as u64);
    }
    progress.clear();
    if failed > 0 {
        println!("{failed} value(s) cannot be decrypted with ENCRYPTION_KEYS; {opened} can.");
        return Ok(ExitCode::FAILURE);
    }
    println!("All {opened} value(s) of {} tenant(s) can be decrypted.", tenants.len());
    Ok(ExitCode::SUCCESS)
}

/// Counts the values of a column that can be decrypted, and lists the rows of those that cannot.
async fn verify_column(
    db: &Db,
    tenant_id: &TenantId,
    column: EncryptedColumn,
) -> Result<(u64, Vec<String>), DbError> {
    let (mut opened, mut failed, mut after) = (0, Vec::new(), None);
    loop {
        let mut tx = db.begin_cross_tenant().await?;
        let page = rotation::verify(&mut tx, tenant_id, column, after.as_ref(), VERIFY_BATCH_SIZE).await?;
        opened += page.opened;
        failed.extend(page.failed);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok((opened, failed)),
        }
    }
}
