//! Batched lookup of sessions. Results are not cached, so a sign-out takes effect at once.

use std::collections::HashMap;

use crypto::SessionKey;
use db::sessions::SessionRecord;
use db::{Db, DbError};

use crate::batcher::Batcher;

/// A batcher of session lookups by the digest of the cookie.
pub(crate) type SessionLoader = Batcher<Vec<u8>, SessionRecord>;

pub(crate) fn new_session_loader(db: &Db, key: &SessionKey) -> SessionLoader {
    let (db, key) = (db.clone(), key.clone());
    Batcher::new(move |digests| load_sessions(db.clone(), key.clone(), digests))
}

async fn load_sessions(
    db: Db,
    key: SessionKey,
    digests: Vec<Vec<u8>>,
) -> Result<HashMap<Vec<u8>, SessionRecord>, DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    let found = db::sessions::load_all(&mut tx, &key, &digests).await?;
    tx.commit().await?;
    Ok(found)
}
