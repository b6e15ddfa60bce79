//! What a person who is forgotten did for the workspace.

use models::TenantId;

use super::{Leaving, NOBODY};
use crate::{DbError, Tx, api_keys, settings};

/// Replaces their id where they acted for the workspace.
pub(super) async fn replace_roles(
    tx: &mut Tx,
    tenant_id: &TenantId,
    leaving: &Leaving<'_>,
) -> Result<(), DbError> {
    let Leaving { tenant, user, before, .. } = leaving;
    sqlx::query!(
        "update installations set installed_by = $4
         where tenant_id = $1 and installed_by = $2 and installed_at < coalesce($3, 'infinity'::timestamptz)",
        tenant,
        user,
        *before,
        NOBODY,
    )
    .execute(&mut *tx)
    .await?;
    api_keys::replace_creator(tx, tenant, user, NOBODY, *before).await?;
    sqlx::query!(
        "update exports set started_by = $4
         where tenant_id = $1 and started_by = $2 and started_at < coalesce($3, 'infinity'::timestamptz)",
        tenant,
        user,
        *before,
        NOBODY,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from managers
         where tenant_id = $1 and user_id = $2 and granted_at < coalesce($3, 'infinity'::timestamptz)",
        tenant,
        user,
        *before,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update managers set granted_by = $4
         where tenant_id = $1 and granted_by = $2 and granted_at < coalesce($3, 'infinity'::timestamptz)",
        tenant,
        user,
        *before,
        NOBODY,
    )
    .execute(&mut *tx)
    .await?;
    let mut config = settings::find(tx, tenant_id).await?;
    let Some((changed_by, changed_at)) = config.changed else { return Ok(()) };
    if before.is_some_and(|before| changed_at >= before) {
        return Ok(());
    }
    let recipients = &mut config.settings.budget_alert_recipients;
    let named = recipients.len();
    recipients.retain(|recipient| recipient.as_str() != *user);
    if recipients.len() < named || changed_by == *user {
        let changed_by = if changed_by == *user { NOBODY } else { &changed_by };
        settings::set(tx, tenant_id, &config.settings, changed_by).await?;
    }
    Ok(())
}
