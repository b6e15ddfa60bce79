//! Transactions that are under way. Whoever read a key that was current then, or something that was sealed with it then, did
//! so in one of these; once they have ended nobody has it in hand any more. So neither who seals nor who opens has to lock
//! anything.

use crate::{DbError, Tx};

/// Those of the database, but for this one. What vacuums or replicates seals nothing.
pub async fn list_open_transactions(tx: &mut Tx) -> Result<Vec<String>, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select l.virtualtransaction as "id!" from pg_locks l join pg_stat_activity a on a.pid = l.pid
           where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and l.granted
             and a.datname = current_database() and a.usesysid is not null and l.pid <> pg_backend_pid()"#
    )
    .fetch_all(tx)
    .await?)
}

/// Whether one of these is still under way.
pub async fn has_open_transactions(tx: &mut Tx, ids: &[String]) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from pg_locks where locktype = 'virtualxid' and mode = 'ExclusiveLock' and granted
                          and virtualtransaction = any($1)) as "under_way!""#,
        ids,
    )
    .fetch_one(tx)
    .await?)
}
