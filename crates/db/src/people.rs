//! The table `people`: what Slack says of those who ask, kept for a day.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use models::{ChannelId, Origin, Person, Profile, TenantId, UserId};
use secrecy::ExposeSecret;

use crate::keys::{self, Column};
use crate::{DbError, Tx};

const NAME: Column = Column { table: "people", column: "name" };
const PROFILE: Column = Column { table: "people", column: "profile" };
const SET_PROFILE: Column = Column { table: "people", column: "set_profile" };

/// A person, if Slack was asked within the last day.
pub async fn find(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<Option<Person>, DbError> {
    let row = sqlx::query!(
        r#"select origin as "origin!", name as "name!", is_admin, profile, set_profile from people
           where tenant_id = $1 and user_id = $2 and checked_at > now() - interval '1 day'"#,
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let name = keys::open(tx, tenant_id, NAME, &row.name).await?;
    let origin = Origin::from(row.origin.as_str());
    let told = open_profile(tx, tenant_id, PROFILE, row.profile.as_deref()).await?;
    let profile = open_profile(tx, tenant_id, SET_PROFILE, row.set_profile.as_deref()).await?.or(told);
    Ok(Some(Person { origin, name: name.expose_secret().to_owned(), is_admin: row.is_admin, profile }))
}

async fn open_profile(
    tx: &mut Tx,
    tenant_id: &TenantId,
    place: Column,
    sealed: Option<&[u8]>,
) -> Result<Profile, DbError> {
    match sealed {
        Some(sealed) => {
            Ok(serde_json::from_str(keys::open(tx, tenant_id, place, sealed).await?.expose_secret())?)
        }
        None => Ok(Profile::default()),
    }
}

/// Keeps what Slack said.
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
        person.origin.as_str(),
        key.seal(NAME.of(tenant_id), &person.name)?,
        person.is_admin,
        key.seal(PROFILE.of(tenant_id), &serde_json::to_string(&person.profile)?)?,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Sets what the bot is to know of a person, over what Slack says; what is empty is as Slack says.
pub async fn set_profile(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    profile: &Profile,
) -> Result<(), DbError> {
    let key = keys::current(tx, tenant_id).await?;
    sqlx::query!(
        "update people set set_profile = $3 where tenant_id = $1 and user_id = $2",
        tenant_id.as_str(),
        user_id.as_str(),
        key.seal(SET_PROFILE.of(tenant_id), &serde_json::to_string(profile)?)?,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A person as the dashboard shows them.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who.
    pub user_id: UserId,
    /// What they are to the workspace.
    pub origin: Origin,
    /// What Slack calls them; empty where it was not asked.
    pub name: String,
    /// Whether they administer the workspace.
    pub is_admin: bool,
    /// What Slack says of them.
    pub told: Profile,
    /// What was set here.
    pub set: Profile,
    /// Questions of the last thirty days.
    pub questions: i64,
    /// When they asked last.
    pub asked_at: Option<DateTime<Utc>>,
}

/// The people who asked the bot something or were met by it, whoever asked most of late first; or one of them.
pub async fn list(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: Option<&UserId>,
    limit: i64,
) -> Result<Vec<Known>, DbError> {
    let rows = sqlx::query!(
        r#"select p.user_id as "user_id!", p.origin, p.name, p.is_admin as "is_admin!", p.profile, p.set_profile,
                  coalesce(asked.questions, 0) as "questions!", asked.asked_at
           from people p
           left join (select user_id, count(*) as questions, max(asked_at) as asked_at from usage
                      where tenant_id = $1 and created_at > now() - interval '30 days' group by user_id)
               as asked using (user_id)
           where p.tenant_id = $1 and p.name is not null and ($2::text is null or p.user_id = $2)
           order by coalesce(asked.questions, 0) desc, p.user_id limit $3"#,
        tenant_id.as_str(),
        user_id.map(UserId::as_str),
        limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut people = Vec::with_capacity(rows.len());
    for row in rows {
        let name = keys::open(tx, tenant_id, NAME, row.name.as_deref().unwrap_or_default()).await?;
        people.push(Known {
            user_id: row.user_id.into(),
            origin: Origin::from(row.origin.as_deref().unwrap_or_default()),
            name: name.expose_secret().to_owned(),
            is_admin: row.is_admin,
            told: open_profile(tx, tenant_id, PROFILE, row.profile.as_deref()).await?,
            set: open_profile(tx, tenant_id, SET_PROFILE, row.set_profile.as_deref()).await?,
            questions: row.questions,
            asked_at: row.asked_at,
        });
    }
    Ok(people)
}

/// The names of those who are known, for whoever lists what they did.
pub async fn list_names(tx: &mut Tx, tenant_id: &TenantId) -> Result<HashMap<UserId, String>, DbError> {
    let rows = sqlx::query!(
        r#"select user_id, name as "name!" from people where tenant_id = $1 and name is not null limit 5000"#,
        tenant_id.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut names = HashMap::with_capacity(rows.len());
    for row in rows {
        let name = keys::open(tx, tenant_id, NAME, &row.name).await?;
        names.insert(row.user_id.into(), name.expose_secret().to_owned());
    }
    Ok(names)
}

/// Whether a person has had their first message.
pub async fn is_onboarded(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<bool, DbError> {
    let onboarded = sqlx::query_scalar!(
        r#"select onboarded_at is not null as "onboarded!" from people where tenant_id = $1 and user_id = $2"#,
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(onboarded.unwrap_or(false))
}

/// Notes that a person has had their first message.
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

/// Notes which channel a person looks at beside the conversation with the bot.
pub async fn set_looking_at(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    channel_id: Option<&ChannelId>,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into people (tenant_id, user_id, looking_at) values ($1, $2, $3)
         on conflict (tenant_id, user_id) do update set looking_at = excluded.looking_at",
        tenant_id.as_str(),
        user_id.as_str(),
        channel_id.map(ChannelId::as_str),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The channel a person looks at beside the conversation with the bot.
pub async fn find_looking_at(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<Option<ChannelId>, DbError> {
    let channel_id = sqlx::query_scalar!(
        "select looking_at from people where tenant_id = $1 and user_id = $2",
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(channel_id.flatten().map(ChannelId::from))
}

/// Deletes what is known of a person and what was said with them: the number of turns. What their answers cost stays,
/// without their name; and that they had their first message, so that they do not get it again.
pub async fn forget(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<u64, DbError> {
    let (tenant, user) = (tenant_id.as_str(), user_id.as_str());
    let turns = sqlx::query!("delete from turns where tenant_id = $1 and user_id = $2", tenant, user)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "update usage set user_id = 'forgotten' where tenant_id = $1 and user_id = $2",
        tenant,
        user
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("delete from feedback where tenant_id = $1 and user_id = $2", tenant, user)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "update events set user_id = 'forgotten', body = null
         where tenant_id = $1 and user_id = $2 and outcome is not null",
        tenant,
        user
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update ignored_events set user_id = 'forgotten' where tenant_id = $1 and user_id = $2",
        tenant,
        user
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update people set origin = null, name = null, is_admin = false, checked_at = null, looking_at = null,
             profile = null, set_profile = null
         where tenant_id = $1 and user_id = $2",
        tenant,
        user
    )
    .execute(tx)
    .await?;
    Ok(turns.rows_affected())
}
