//! The table `team_access`: the workspaces that an org-wide install was let into.

use models::{TeamId, TenantId};

use crate::{DbError, Tx};

/// Lets an install into workspaces; twice is once.
pub async fn grant(tx: &mut Tx, tenant_id: &TenantId, team_ids: &[TeamId]) -> Result<(), DbError> {
    sqlx::query!(
        "insert into team_access (tenant_id, team_id) select $1, unnest($2::text[]) on conflict do nothing",
        tenant_id.as_str(),
        &words(team_ids),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes an install out of workspaces.
pub async fn revoke(tx: &mut Tx, tenant_id: &TenantId, team_ids: &[TeamId]) -> Result<(), DbError> {
    sqlx::query!(
        "delete from team_access where tenant_id = $1 and team_id = any($2)",
        tenant_id.as_str(),
        &words(team_ids),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The workspaces an install may work in.
pub async fn list(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<TeamId>, DbError> {
    let teams = sqlx::query_scalar!(
        "select team_id from team_access where tenant_id = $1 order by team_id",
        tenant_id.as_str(),
    )
    .fetch_all(tx)
    .await?;
    Ok(teams.into_iter().map(TeamId::from).collect())
}

fn words(team_ids: &[TeamId]) -> Vec<String> {
    team_ids.iter().map(ToString::to_string).collect()
}
