//! The table `oauth_states`: installs in progress. A state is valid once, for ten minutes, in one browser.

use crate::{DbError, Tx};

/// Lifetime of a state, in seconds.
pub const OAUTH_STATE_TTL_SECONDS: i32 = 600;

/// Stores the digests of a state and of its browser, and deletes expired states.
pub async fn insert(tx: &mut Tx, state_digest: &[u8], browser_digest: &[u8]) -> Result<(), DbError> {
    sqlx::query!("delete from oauth_states where expires_at < now()").execute(&mut *tx).await?;
    sqlx::query!(
        "insert into oauth_states (state_digest, browser_digest, expires_at)
         values ($1, $2, now() + make_interval(secs => $3))",
        state_digest,
        browser_digest,
        f64::from(OAUTH_STATE_TTL_SECONDS),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Consumes a state and returns the digest of its browser; `None` if the state is unknown, used or expired.
pub async fn consume(tx: &mut Tx, state_digest: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
    let row = sqlx::query!(
        r#"delete from oauth_states where state_digest = $1
           returning browser_digest, expires_at > now() as "fresh!""#,
        state_digest,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.filter(|row| row.fresh).map(|row| row.browser_digest))
}
