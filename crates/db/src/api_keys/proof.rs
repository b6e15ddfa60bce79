//! The proof of a row of `api_keys`: an HMAC by a master key, which both services know.

use chrono::{DateTime, Utc};
use crypto::{KeyProvider, RowStatement, Signature};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{DbError, Tx};

/// What a row of `api_keys` grants.
#[derive(Clone, Copy)]
pub(super) struct ApiKeyGrant<'a> {
    pub(super) key_id: Uuid,
    pub(super) tenant: &'a str,
    pub(super) digest: &'a [u8],
    pub(super) scopes: &'a [String],
    pub(super) created_by: &'a str,
}

impl ApiKeyGrant<'_> {
    /// Returns what a master key signs.
    pub(super) fn statement(&self) -> RowStatement {
        let statement = RowStatement::new("api key v1")
            .with(self.key_id.as_bytes())
            .with(self.tenant.as_bytes())
            .with(self.digest)
            .with(self.created_by.as_bytes());
        self.scopes.iter().fold(statement, |statement, scope| statement.with(scope.as_bytes()))
    }

    /// Verifies a proof. A missing one, and one of an unknown master key, is not valid.
    pub(super) fn is_proven(
        &self,
        master_keys: &dyn KeyProvider,
        proof: Option<Vec<u8>>,
        master_key_id: Option<String>,
    ) -> bool {
        let Some((tag, master_key_id)) = proof.zip(master_key_id) else { return false };
        let signature = Signature { master_key_id, tag };
        master_keys.verify(self.statement().as_bytes(), &signature) == Some(true)
    }
}

/// Signs the next active keys with the first master key, if another known one signed them. Returns their
/// number. A key whose proof is wrong loses it.
pub async fn resign(tx: &mut Tx) -> Result<u64, DbError> {
    let master_keys = tx.master_keys();
    let known: Vec<String> = master_keys.ids().into_iter().skip(1).map(str::to_owned).collect();
    let rows = sqlx::query!(
        "select key_id, tenant_id, digest, scopes, created_by, proof, master_key_id from api_keys
         where master_key_id = any($1) and proof is not null for no key update",
        &known,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut resigned = 0;
    for row in rows {
        let (key_id, tenant) = (row.key_id, row.tenant_id.as_str());
        let (digest, scopes, created_by) = (&row.digest, &row.scopes, row.created_by.as_str());
        let grant = ApiKeyGrant { key_id, tenant, digest, scopes, created_by };
        let is_proven = grant.is_proven(&*master_keys, row.proof, row.master_key_id);
        let fresh = is_proven.then(|| master_keys.sign(grant.statement().as_bytes()));
        resigned += u64::from(is_proven);
        let (tag, master_key_id) = fresh.map(|fresh| (fresh.tag, fresh.master_key_id)).unzip();
        sqlx::query!(
            "update api_keys set proof = $2, master_key_id = $3 where key_id = $1",
            key_id,
            tag,
            master_key_id,
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(resigned)
}

/// Replaces the creator of a person's keys and signs them again, as far as they are proven. Only keys created
/// before this time; `None`: all.
pub(crate) async fn replace_creator(
    tx: &mut Tx,
    tenant: &str,
    creator: &str,
    replacement: &str,
    before: Option<DateTime<Utc>>,
) -> Result<(), DbError> {
    let master_keys = tx.master_keys();
    let rows = sqlx::query!(
        "select key_id, digest, scopes, proof, master_key_id from api_keys
         where tenant_id = $1 and created_by = $2 and created_at < coalesce($3, 'infinity'::timestamptz)
         for no key update",
        tenant,
        creator,
        before,
    )
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let (key_id, digest, scopes) = (row.key_id, &row.digest, &row.scopes);
        let grant = ApiKeyGrant { key_id, tenant, digest, scopes, created_by: creator };
        let replaced = ApiKeyGrant { created_by: replacement, ..grant };
        let is_proven = grant.is_proven(&*master_keys, row.proof, row.master_key_id);
        let fresh = is_proven.then(|| master_keys.sign(replaced.statement().as_bytes()));
        let (tag, master_key_id) = fresh.map(|fresh| (fresh.tag, fresh.master_key_id)).unzip();
        sqlx::query!(
            "update api_keys set created_by = $2, proof = $3, master_key_id = $4 where key_id = $1",
            key_id,
            replacement,
            tag,
            master_key_id,
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Signs every active key, in the transaction of the migration that adds the proofs: afterwards no one can
/// tell a key of this deployment from one that somebody wrote to the table.
pub(crate) async fn sign_existing(
    connection: &mut PgConnection,
    master_keys: Option<&dyn KeyProvider>,
) -> Result<(), DbError> {
    let rows = sqlx::query!(
        "select key_id, tenant_id, digest, scopes, created_by from api_keys where revoked_at is null"
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let master_keys = master_keys.ok_or(DbError::MasterKeysNeeded)?;
        let (key_id, tenant) = (row.key_id, row.tenant_id.as_str());
        let (digest, scopes, created_by) = (&row.digest, &row.scopes, row.created_by.as_str());
        let grant = ApiKeyGrant { key_id, tenant, digest, scopes, created_by };
        let signature = master_keys.sign(grant.statement().as_bytes());
        sqlx::query!(
            "update api_keys set proof = $2, master_key_id = $3 where key_id = $1",
            key_id,
            signature.tag,
            signature.master_key_id,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crypto::MasterKeys;

    use super::*;

    #[test]
    fn api_key_proof_covers_grant() {
        let keys = MasterKeys::parse(&format!("a:{}=", "A".repeat(43))).unwrap();
        let scopes = ["chat".to_owned()];
        let wider = ["chat".to_owned(), "chat:people".to_owned()];
        let grant = ApiKeyGrant {
            key_id: Uuid::from_u128(1),
            tenant: "T1",
            digest: b"digest",
            scopes: &scopes,
            created_by: "U1",
        };
        let signature = keys.sign(grant.statement().as_bytes());
        let proof = || (Some(signature.tag.clone()), Some(signature.master_key_id.clone()));
        let is_proven = |grant: ApiKeyGrant<'_>| grant.is_proven(&keys, proof().0, proof().1);
        assert!(is_proven(grant));
        assert!(!is_proven(ApiKeyGrant { key_id: Uuid::from_u128(2), ..grant }));
        assert!(!is_proven(ApiKeyGrant { tenant: "T2", ..grant }));
        assert!(!is_proven(ApiKeyGrant { digest: b"other", ..grant }));
        assert!(!is_proven(ApiKeyGrant { scopes: &wider, ..grant }));
        assert!(!is_proven(ApiKeyGrant { created_by: "U2", ..grant }));
        assert!(!grant.is_proven(&keys, None, proof().1));
        assert!(!grant.is_proven(&keys, proof().0, Some("b".to_owned())));
    }
}
