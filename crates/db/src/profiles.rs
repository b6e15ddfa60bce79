//! Profiles of people, as shown in the dashboard and as exported: from `people`, `chat_memory`, `usage` and
//! `feedback`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use models::{Affiliation, EmployeeProfile, TenantId, UserId};
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::chat_memory::{self, ExportedMessage};
use crate::keys::{self, ColumnRef};
use crate::message_text::TEXT_WITHHELD_REASON;
use crate::people::PERSON_NAME;
use crate::person_export::{self, PersonRecords};
use crate::{DbError, Tx};

pub(crate) const PROFILE: ColumnRef = ColumnRef { table: "people", column: "profile" };
pub(crate) const PROFILE_OVERRIDE: ColumnRef = ColumnRef { table: "people", column: "profile_override" };

/// Overrides the profile that Slack returns for a person; empty fields keep Slack's values. Returns false if
/// the person is unknown.
pub async fn set_profile(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    profile: &EmployeeProfile,
) -> Result<bool, DbError> {
    let key = keys::current(tx, tenant_id).await?;
    let set = sqlx::query!(
        "update people set profile_override = $3 where tenant_id = $1 and user_id = $2 and name is not null",
        tenant_id.as_str(),
        user_id.as_str(),
        key.seal(PROFILE_OVERRIDE.binding(tenant_id), &serde_json::to_string(profile)?)?,
    )
    .execute(tx)
    .await?;
    Ok(set.rows_affected() == 1)
}

/// A person as shown in the dashboard.
#[derive(Clone, Debug)]
pub struct PersonProfile {
    /// Id of the person.
    pub user_id: UserId,
    /// Affiliation with the workspace.
    pub origin: Affiliation,
    /// Name in Slack; empty if Slack was not asked.
    pub name: String,
    /// True if they are an admin of the workspace.
    pub is_admin: bool,
    /// Profile from Slack.
    pub slack_profile: EmployeeProfile,
    /// Values set in the dashboard.
    pub overrides: EmployeeProfile,
    /// Questions in the last 30 days.
    pub questions: i64,
    /// Time of their last question.
    pub asked_at: Option<DateTime<Utc>>,
}

impl PersonProfile {
    /// Returns the effective profile: the values set in the dashboard, otherwise Slack's.
    pub fn profile(&self) -> EmployeeProfile {
        self.overrides.clone().or(self.slack_profile.clone())
    }

    /// Returns the name to show.
    pub fn display_name(&self) -> &str {
        if self.overrides.name.is_empty() { &self.name } else { &self.overrides.name }
    }

    /// Returns whether `words`, in lower case, occur anywhere in the profile.
    pub fn is_match(&self, words: &str) -> bool {
        let EmployeeProfile { name, role, department, location } = self.profile();
        let texts = [&self.name, &name, &role, &department, &location];
        texts.iter().any(|text| text.to_lowercase().contains(words))
            || self.user_id.as_str().to_lowercase() == words
    }
}

/// Lists the people who asked the bot something or were met by it, those with the most recent questions
/// first; or one of them.
pub async fn list(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: Option<&UserId>,
    limit: i64,
) -> Result<Vec<PersonProfile>, DbError> {
    let rows = sqlx::query!(
        r#"select p.user_id as "user_id!", p.origin, p.name, p.is_admin as "is_admin!", p.profile, p.profile_override,
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
            overrides: open_profile(tx, tenant_id, PROFILE_OVERRIDE, row.profile_override.as_deref()).await?,
            questions: row.questions,
            asked_at: row.asked_at,
        });
    }
    Ok(people)
}

/// Returns the names of known people, for lists of their actions.
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

/// All data stored about a person.
#[derive(Clone, Debug, Serialize)]
pub struct PersonExport {
    /// Id of the person.
    pub user_id: UserId,
    /// Name in Slack.
    pub name: String,
    /// Effective profile.
    pub profile: EmployeeProfile,
    /// Their messages, and the replies to them.
    pub conversations: Vec<ExportedMessage>,
    /// The reason why the conversations are left out; `None` if they are included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversations_withheld: Option<&'static str>,
    /// Their questions, with outcome and tokens.
    pub questions: Vec<QuestionEntry>,
    /// Their ratings of replies.
    pub feedback: Vec<FeedbackEntry>,
    /// Everything else that is stored of them, as rows by table.
    pub records: PersonRecords,
}

/// A question, without its text.
#[derive(Clone, Debug, Serialize)]
pub struct QuestionEntry {
    /// Time at which it finished.
    pub ended_at: DateTime<Utc>,
    /// Channel of the question.
    pub channel_id: Option<String>,
    /// Outcome.
    pub outcome: String,
    /// Model that answered.
    pub model: String,
    /// Prompt tokens.
    pub prompt_tokens: i64,
    /// Completion tokens.
    pub completion_tokens: i64,
}

/// A rating of a reply.
#[derive(Clone, Debug, Serialize)]
pub struct FeedbackEntry {
    /// Event of the question.
    pub event_id: String,
    /// True for thumbs up, false for thumbs down.
    pub positive: bool,
    /// Time of the rating.
    pub judged_at: DateTime<Utc>,
}

/// Returns all data stored about a person, for their export; without their conversations unless
/// `has_message_text`.
pub async fn export(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    has_message_text: bool,
) -> Result<PersonExport, DbError> {
    let person = list(tx, tenant_id, Some(user_id), 1).await?.pop();
    let (name, profile) =
        person.map(|person| (person.name, person.overrides.or(person.slack_profile))).unwrap_or_default();
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
    let (conversations, conversations_withheld) = match has_message_text {
        true => (chat_memory::list_for_user(tx, tenant_id, user_id).await?, None),
        false => (Vec::new(), Some(TEXT_WITHHELD_REASON)),
    };
    let records = person_export::load_records(tx, tenant_id, user_id, has_message_text).await?;
    let user_id = user_id.clone();
    Ok(PersonExport {
        user_id,
        name,
        profile,
        conversations,
        conversations_withheld,
        questions,
        feedback,
        records,
    })
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
