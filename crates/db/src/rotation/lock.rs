//! The lock that allows one rotation at a time. Two would be safe, but would do the same work twice.

use sqlx::{Connection, PgConnection};

use crate::{Db, DbError};

/// The lock of a rotation. It belongs to a session without a pooler and ends with it, however the process
/// ends.
#[derive(Debug)]
pub struct RotationLock(PgConnection);

impl RotationLock {
    /// Acquires the lock; `None` if another process holds it.
    ///
    /// # Errors
    /// Postgres cannot be reached without the pooler.
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

    /// Releases the lock.
    pub async fn release(self) {
        // The session ends in any case.
        let _ = self.0.close().await;
    }
}
