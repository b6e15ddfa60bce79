//! What is known of people, as the dashboard shows it and as they take it with them: over `people`, `turns`, `usage` and
//! `feedback`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use models::{Affiliation, EmployeeProfile, TenantId, UserId};
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::chat_memory::{self, ExportedMessage};
use crate::keys::{self, ColumnRef};
use crate::people::PERSON_NAME;
use crate::{DbError, Tx};

pub(crate) const PROFILE: ColumnRef = ColumnRef { table: "people", column: "profile" };
pub(crate) const SET_PROFILE: ColumnRef = ColumnRef { table: "people", column: "set_profile" };

/// Sets what the bot is to know of a person, over what Slack says; what is empty is as Slack says. False where they are not
/// known.
pub async fn set_profile(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    profile: &EmployeeProfile,
) -> Result<bool, DbError> {
    let key = keys::current(tx, tenant_id).await?;
    let set = sqlx::query!(
        "update people set set_profile = $3 where tenant_id = $1 and user_id = $2 and name is not null",
        tenant_id.as_str(),
        user_id.as_str(),
        key.seal(SET_PROFILE.binding(tenant_id), &serde_json::to_string(profile)?)?,
    )
    .execute(tx)
    .await?;
    Ok(set.rows_affected() == 1)
}

/// A person as the dashboard shows them.
#[derive(Clone, Debug)]
pub struct PersonProfile {
    /// Who.
    pub user_id: UserId,
    /// What they are to the workspace.
    pub origin: Affiliation,
    /// What Slack calls them; empty where it was not asked.
    pub name: String,
    /// Whether they administer the workspace.
    pub is_admin: bool,
    /// What Slack says of them.
    pub slack_profile: EmployeeProfile,
    /// What was set here.
    pub overrides: EmployeeProfile,
    /// Questions of the last thirty days.
    pub questions: i64,
    /// When they asked last.
    pub asked_at: Option<DateTime<Utc>>,
}

impl PersonProfile {
    /// What is known of them: what was set here, else what Slack says.
    pub fn profile(&self) -> EmployeeProfile {
        self.overrides.clone().or(self.slack_profile.clone())
    }

    /// The name they go by.
    pub fn display_name(&self) -> &str {
        if self.overrides.name.is_empty() { &self.name } else { &self.overrides.name }
    }

    /// Whether these words, in lower case, stand somewhere in what is known.
    pub fn is_match(&self, words: &str) -> bool {
        let EmployeeProfile { name, role, department, location } = self.profile();
        let texts = [&self.name, &name, &role, &department, &location];
        texts.iter().any(|text| text.to_lowercase().contains(words))
            || self.user_id.as_str().to_lowercase() == words
    }
}

/// The people who asked the bot something or were met by it, whoever asked most of late first; or one of them.
pub async fn list(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: Option<&UserId>,
    limit: i64,
) -> Result<Vec<PersonProfile>, DbError> {
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
        let name = keys::open(tx, tenant_id, PERSON_NAME, row.name.as_deref().unwrap_or_default()).await?;
        people.push(PersonProfile {
            user_id: row.user_id.into(),
            origin: Affiliation::from(row.origin.as_deref().unwrap_or_default()),
            name: name.expose_secret().to_owned(),
            is_admin: row.is_admin,
            slack_profile: open_profile(tx, tenant_id, PROFILE, row.profile.as_deref()).await?,
            overrides: open_profile(tx, tenant_id, SET_PROFILE, row.set_profile.as_deref()).await?,
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
        let name = keys::open(tx, tenant_id, PERSON_NAME, &row.name).await?;
        names.insert(row.user_id.into(), name.expose_secret().to_owned());
    }
    Ok(names)
}

/// All that is kept of a person.
#[derive(Clone, Debug, Serialize)]
pub struct PersonExport {
    /// Who.
    pub user_id: UserId,
    /// What Slack calls them.
    pub name: String,
    /// What else is known of them.
    pub profile: EmployeeProfile,
    /// What was said with them.
    pub conversations: Vec<ExportedMessage>,
    /// What they asked: when, how it ended, and what it cost.
    pub questions: Vec<QuestionEntry>,
    /// What they thought of answers.
    pub feedback: Vec<FeedbackEntry>,
}

/// A question, without its words.
#[derive(Clone, Debug, Serialize)]
pub struct QuestionEntry {
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// Where.
    pub channel_id: Option<String>,
    /// How.
    pub outcome: String,
    /// Which model answered.
    pub model: String,
    /// Into it.
    pub prompt_tokens: i64,
    /// Out of it.
    pub completion_tokens: i64,
}

/// A judgement.
#[derive(Clone, Debug, Serialize)]
pub struct FeedbackEntry {
    /// Which question's answer.
    pub event_id: String,
    /// Thumbs up, or down.
    pub positive: bool,
    /// When.
    pub judged_at: DateTime<Utc>,
}

/// All that is kept of a person, for them to have.
pub async fn export(tx: &mut Tx, tenant_id: &TenantId, user_id: &UserId) -> Result<PersonExport, DbError> {
    let known = list(tx, tenant_id, Some(user_id), 1).await?.pop();
    let (name, profile) =
        known.map(|known| (known.name, known.overrides.or(known.slack_profile))).unwrap_or_default();
    let questions = sqlx::query_as!(
        QuestionEntry,
        "select created_at as ended_at, channel_id, outcome, model, prompt_tokens, completion_tokens from usage
         where tenant_id = $1 and user_id = $2 order by created_at",
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let feedback = sqlx::query_as!(
        FeedbackEntry,
        "select event_id, positive, created_at as judged_at from feedback
         where tenant_id = $1 and user_id = $2 order by created_at",
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let conversations = chat_memory::list_for_user(tx, tenant_id, user_id).await?;
    Ok(PersonExport { user_id: user_id.clone(), name, profile, conversations, questions, feedback })
}

pub(crate) async fn open_profile(
    tx: &mut Tx,
    tenant_id: &TenantId,
    column: ColumnRef,
    sealed: Option<&[u8]>,
) -> Result<EmployeeProfile, DbError> {
    match sealed {
        Some(sealed) => {
            Ok(serde_json::from_str(keys::open(tx, tenant_id, column, sealed).await?.expose_secret())?)
        }
        None => Ok(EmployeeProfile::default()),
    }
}
