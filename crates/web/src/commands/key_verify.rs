//! `web keys verify`: whether everything that is sealed opens with the keys that are here.

use std::process::ExitCode;

use db::rotation::{self, Place};
use db::{Db, DbError};
use models::TenantId;

use super::keys::Progress;

/// Values that are opened in one transaction.
const PAGE: i64 = 500;

/// So many rows are named of each column that has some which do not open.
const NAMED: usize = 5;

/// Opens everything, tenant by tenant, and tells what does not.
pub(super) async fn print(db: &Db) -> Result<ExitCode, DbError> {
    let mut tx = db.begin_for_all().await?;
    rotation::check_catalogue(&mut tx).await?;
    let tenants = rotation::list_tenants(&mut tx).await?;
    drop(tx);
    let mut progress = Progress::new("opening what is sealed, tenants");
    let (mut opened, mut refused) = (0, 0);
    for (tenant_id, done) in tenants.iter().zip(1..) {
        for place in rotation::places() {
            let (good, bad) = verify(db, tenant_id, place).await?;
            opened += good;
            refused += bad.len();
            if !bad.is_empty() {
                progress.clear();
                let (some, count) =
                    (bad.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "), bad.len());
                println!("{tenant_id}: {count} value(s) of {place:?} do not open: {some}");
            }
        }
        progress.tell(done, tenants.len() as u64);
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
async fn verify(db: &Db, tenant_id: &TenantId, place: Place) -> Result<(u64, Vec<String>), DbError> {
    let (mut opened, mut refused, mut after) = (0, Vec::new(), None);
    loop {
        let mut tx = db.begin_for_all().await?;
        let page = rotation::verify(&mut tx, tenant_id, place, after.as_ref(), PAGE).await?;
        opened += page.opened;
        refused.extend(page.refused);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok((opened, refused)),
        }
    }
}
