//! The table `people`: the profiles that Slack returns for people who write to the bot, refreshed after a
//! day.

use chrono::TimeDelta;
use models::{Affiliation, ChannelId, Person, TenantId, UserId};
use secrecy::ExposeSecret;

use crate::keys::{self, ColumnRef};
use crate::profiles::{PROFILE, PROFILE_OVERRIDE, open_profile};
use crate::{DbError, Tx, tombstones};

pub(crate) const PERSON_NAME: ColumnRef = ColumnRef { table: "people", column: "name" };

/// Time for which a profile is used without asking Slack again.
const PROFILE_LIFETIME: TimeDelta = TimeDelta::days(1);

/// Returns a person, if Slack was asked about them within the last day.
pub async fn find(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<Option<Person>, DbError> {
    find_checked_within(tx, tenant_id, user_id, PROFILE_LIFETIME).await
}

/// Returns a person, if Slack was asked about them within this time.
pub async fn find_checked_within(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    max_age: TimeDelta,
) -> Result<Option<Person>, DbError> {
    let row = sqlx::query!(
        r#"select origin as "origin!", name as "name!", is_admin, profile, profile_override from people
           where tenant_id = $1 and user_id = $2 and checked_at > now() - make_interval(secs => $3)"#,
        tenant_id.as_str(),
        user_id.as_str(),
        max_age.as_seconds_f64(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let name = keys::open(tx, tenant_id, PERSON_NAME, &row.name).await?;
    let origin = Affiliation::from(row.origin.as_str());
    let profile = open_profile(tx, tenant_id, PROFILE, row.profile.as_deref()).await?;
    let profile =
        open_profile(tx, tenant_id, PROFILE_OVERRIDE, row.profile_override.as_deref()).await?.or(profile);
    Ok(Some(Person {
        affiliation: origin,
        name: name.expose_secret().to_owned(),
        is_admin: row.is_admin,
        profile,
    }))
}

/// Stores the data that Slack returned.
pub async fn upsert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    person: &Person,
) -> Result<(), DbError> {
    let key = keys::current(tx, tenant_id).await?;
    sqlx::query!(
        "insert into people (tenant_id, user_id, origin, name, is_admin, profile, checked_at)
         values ($1, $2, $3, $4, $5, $6, now())
         on conflict (tenant_id, user_id) do update set
             origin = excluded.origin, name = excluded.name, is_admin = excluded.is_admin,
             profile = excluded.profile, checked_at = now()",
        tenant_id.as_str(),
        user_id.as_str(),
        person.affiliation.as_str(),
        key.seal(PERSON_NAME.binding(tenant_id), &person.name)?,
        person.is_admin,
        key.seal(PROFILE.binding(tenant_id), &serde_json::to_string(&person.profile)?)?,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns whether the name of a person is known.
pub async fn is_known(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from people where tenant_id = $1 and user_id = $2 and name is not null) as "known!""#,
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// Returns whether a person has received their first message. Somebody who was forgotten has, and does not get
/// it again.
pub async fn is_onboarded(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<bool, DbError> {
    let onboarded = sqlx::query_scalar!(
        r#"select onboarded_at is not null as "onboarded!" from people where tenant_id = $1 and user_id = $2"#,
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    Ok(onboarded.unwrap_or(false) || tombstones::is_forgotten(tx, tenant_id, user_id, None).await?)
}

/// Records that a person has received their first message.
pub async fn set_onboarded(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<(), DbError> {
    sqlx::query!(
        "insert into people (tenant_id, user_id, onboarded_at) values ($1, $2, now())
         on conflict (tenant_id, user_id) do update set onboarded_at = now()",
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Records the channel that a person views next to the conversation with the bot.
pub async fn set_viewed_channel(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    channel_id: Option<&ChannelId>,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into people (tenant_id, user_id, viewed_channel_id) values ($1, $2, $3)
         on conflict (tenant_id, user_id) do update set viewed_channel_id = excluded.viewed_channel_id",
        tenant_id.as_str(),
        user_id.as_str(),
        channel_id.map(ChannelId::as_str),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the channel that a person views next to the conversation with the bot.
pub async fn find_viewed_channel(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<Option<ChannelId>, DbError> {
    let channel_id = sqlx::query_scalar!(
        "select viewed_channel_id from people where tenant_id = $1 and user_id = $2",
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(channel_id.flatten().map(ChannelId::from))
}
