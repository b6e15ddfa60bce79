//! Whose session it is. Nothing is kept, so a session that was ended is ended.

use std::collections::HashMap;

use db::sessions::Found;
use db::{Db, DbError};

use crate::together::Together;

/// Where those wait who come with a cookie: each with its digest.
pub(crate) type Door = Together<Vec<u8>, Found>;

pub(crate) fn open(db: &Db) -> Door {
    let db = db.clone();
    Together::new(move |digests| find(db.clone(), digests))
}

async fn find(db: Db, digests: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Found>, DbError> {
    let mut tx = db.begin_for_all().await?;
    let found = db::sessions::find_all(&mut tx, &digests).await?;
    tx.commit().await?;
    Ok(found)
}
