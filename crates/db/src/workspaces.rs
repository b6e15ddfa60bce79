//! The data about a workspace that a reply needs. It can also be encrypted as a whole to be cached outside of
//! Postgres; it can be decrypted only while the tenant has its key.

use chrono::{DateTime, Utc};
use models::{Installation, TenantId, WorkspaceSettings};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::installations::{self, StoredInstallation};
use crate::keys::{self, ColumnRef};
use crate::settings::{self, TenantConfig};
use crate::{Db, DbError, Tx};

/// Not a column of a table, so that the ciphertext is valid nowhere else.
const CACHED_WORKSPACE: ColumnRef = ColumnRef { table: "workspaces", column: "kept" };

/// The installation and settings of a workspace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkspaceSnapshot {
    /// The installation as stored.
    #[serde(with = "InstallationForm")]
    pub installed: StoredInstallation,
    /// The settings as stored.
    #[serde(with = "ConfigForm")]
    pub settings: TenantConfig,
}

/// Returns the data about a workspace; `None` if the bot is not installed.
pub async fn find(tx: &mut Tx, tenant_id: &TenantId) -> Result<Option<WorkspaceSnapshot>, DbError> {
    let Some(installed) = installations::find(tx, tenant_id).await? else { return Ok(None) };
    let settings = settings::find(tx, tenant_id).await?;
    Ok(Some(WorkspaceSnapshot { installed, settings }))
}

/// Returns the data about a workspace, encrypted as a whole.
pub async fn find_sealed(tx: &mut Tx, tenant_id: &TenantId) -> Result<Option<Vec<u8>>, DbError> {
    let Some(workspace) = find(tx, tenant_id).await? else { return Ok(None) };
    let plain = SecretString::from(serde_json::to_string(&workspace)?);
    let key = keys::current(tx, tenant_id).await?;
    Ok(Some(key.seal(CACHED_WORKSPACE.binding(tenant_id), plain.expose_secret())?))
}

/// Decrypts the result of [`find_sealed`].
///
/// # Errors
/// It belongs to another tenant or release, its key is gone, or the key had to be read and Postgres does not
/// respond.
pub async fn open(db: &Db, tenant_id: &TenantId, sealed: &[u8]) -> Result<WorkspaceSnapshot, DbError> {
    let plain = match keys::open_cached(db.keys(), tenant_id, CACHED_WORKSPACE, sealed)? {
        Some(plain) => plain,
        None => keys::open(&mut db.begin(tenant_id).await?, tenant_id, CACHED_WORKSPACE, sealed).await?,
    };
    Ok(serde_json::from_str(plain.expose_secret())?)
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StoredInstallation")]
struct InstallationForm {
    installation: Installation,
    #[serde(with = "secret")]
    bot_token: SecretString,
    token_expires_at: Option<DateTime<Utc>>,
    disabled_reason: Option<String>,
    problem: Option<String>,
    problem_at: Option<DateTime<Utc>>,
    suspended_reason: Option<String>,
    installed_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TenantConfig")]
struct ConfigForm {
    settings: WorkspaceSettings,
    #[serde(with = "optional_secret")]
    model_key: Option<SecretString>,
    model_key_hint: Option<String>,
    changed: Option<(String, DateTime<Utc>)>,
}

mod secret {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
        secret.expose_secret().serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
        String::deserialize(from).map(SecretString::from)
    }
}

mod optional_secret {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(
        secret: &Option<SecretString>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(|secret| secret.expose_secret()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SecretString>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(SecretString::from))
    }
}
