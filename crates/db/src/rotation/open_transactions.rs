//! Open transactions. A process that read the previous current key, or a value encrypted with it, did so in
//! one of these; once they have ended, no process holds it. So encrypting and decrypting need no lock.

use crate::{DbError, Tx};

/// Lists the open transactions of the database, except this one. Vacuum and replication are left out because
/// they encrypt nothing.
pub async fn list_open_transactions(tx: &mut Tx) -> Result<Vec<String>, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select l.virtualtransaction as "id!" from pg_locks l join pg_stat_activity a on a.pid = l.pid
           where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and l.granted
             and a.datname = current_database() and a.usesysid is not null and l.pid <> pg_backend_pid()"#
    )
    .fetch_all(tx)
    .await?)
}

/// Returns whether one of these transactions is still open.
pub async fn has_open_transactions(tx: &mut Tx, ids: &[String]) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from pg_locks where locktype = 'virtualxid' and mode = 'ExclusiveLock' and granted
                          and virtualtransaction = any($1)) as "under_way!""#,
        ids,
    )
    .fetch_one(tx)
    .await?)
}
