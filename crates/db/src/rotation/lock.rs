//! One rotation at a time. Two would not hurt each other, they would only do much twice.

use sqlx::{Connection, PgConnection};

use crate::{Db, DbError};

/// The right to rotate. It is a session's own, past the pooler, and ends with it, however the process ends.
#[derive(Debug)]
pub struct RotationLock(PgConnection);

impl RotationLock {
    /// Takes it; `None` while somebody else has it.
    ///
    /// # Errors
    /// Postgres cannot be reached past the pooler.
    pub async fn try_acquire(db: &Db) -> Result<Option<Self>, DbError> {
        let (_, mut connection) = db.direct_addresses().connect_primary().await?;
        let taken = sqlx::query_scalar!(
            r#"select pg_try_advisory_lock(hashtextextended('enablebot rotation', 0)) as "taken!""#
        )
        .fetch_one(&mut connection)
        .await?;
        if taken {
            return Ok(Some(Self(connection)));
        }
        connection.close().await?;
        Ok(None)
    }

    /// Gives it back.
    pub async fn release(self) {
        // The session ends in any case.
        let _ = self.0.close().await;
    }
}
