//! The table `team_access`: the workspaces granted to an org-wide install.

use models::{TeamId, TenantId};

use crate::{DbError, Tx};

/// Grants workspaces to an install; repeated grants have no effect.
pub async fn grant(tx: &mut Tx, tenant_id: &TenantId, team_ids: &[TeamId]) -> Result<(), DbError> {
    sqlx::query!(
        "insert into team_access (tenant_id, team_id) select $1, unnest($2::text[]) on conflict do nothing",
        tenant_id.as_str(),
        &id_strings(team_ids),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Revokes workspaces from an install.
pub async fn revoke(tx: &mut Tx, tenant_id: &TenantId, team_ids: &[TeamId]) -> Result<(), DbError> {
    sqlx::query!(
        "delete from team_access where tenant_id = $1 and team_id = any($2)",
        tenant_id.as_str(),
        &id_strings(team_ids),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lists the workspaces in which an install may work.
pub async fn list(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<TeamId>, DbError> {
    let teams = sqlx::query_scalar!(
        "select team_id from team_access where tenant_id = $1 order by team_id",
        tenant_id.as_str(),
    )
    .fetch_all(tx)
    .await?;
    Ok(teams.into_iter().map(TeamId::from).collect())
}

fn id_strings(team_ids: &[TeamId]) -> Vec<String> {
    team_ids.iter().map(ToString::to_string).collect()
}
