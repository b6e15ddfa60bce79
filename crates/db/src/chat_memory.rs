//! The table `turns`: what was said in the bot's threads, sealed.

use chrono::{DateTime, Utc};
use models::{Affiliation, ChatMessage, Role, TenantId, ThreadKey, UserId};
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::keys::{self, ColumnRef};
use crate::{DbError, Tx};

pub(crate) const MEMORY_TEXT: ColumnRef = ColumnRef { table: "turns", column: "text" };

/// Adds to a thread's memory: a question, by its number, and its answer.
pub async fn insert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    thread: &ThreadKey,
    seq: i64,
    turns: &[ChatMessage],
) -> Result<(), DbError> {
    let key = keys::current(tx, tenant_id).await?;
    for turn in turns {
        sqlx::query!(
            "insert into turns (tenant_id, channel_id, thread_ts, role, user_id, origin, text, seq)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            tenant_id.as_str(),
            thread.channel_id.as_str(),
            thread.thread_ts.as_str(),
            turn.role.as_str(),
            turn.user_id.as_str(),
            turn.affiliation.as_str(),
            key.seal(MEMORY_TEXT.binding(tenant_id), &turn.text)?,
            seq,
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// The last turns of a thread, oldest first.
pub async fn list(
    tx: &mut Tx,
    tenant_id: &TenantId,
    thread: &ThreadKey,
    limit: i64,
) -> Result<Vec<ChatMessage>, DbError> {
    let rows = sqlx::query!(
        "select role, user_id, origin, text from turns
         where tenant_id = $1 and channel_id = $2 and thread_ts = $3
         order by turn_id desc limit $4",
        tenant_id.as_str(),
        thread.channel_id.as_str(),
        thread.thread_ts.as_str(),
        limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut turns = Vec::with_capacity(rows.len());
    for row in rows.into_iter().rev() {
        let text = keys::open(tx, tenant_id, MEMORY_TEXT, &row.text).await?;
        turns.push(ChatMessage {
            role: if row.role == Role::User.as_str() { Role::User } else { Role::Assistant },
            user_id: row.user_id.into(),
            affiliation: Affiliation::from(row.origin.as_str()),
            text: text.expose_secret().to_owned(),
        });
    }
    Ok(turns)
}

/// Whether anything was said with a person in a thread.
pub async fn has_messages(
    tx: &mut Tx,
    tenant_id: &TenantId,
    thread: &ThreadKey,
    user_id: &UserId,
) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from turns where tenant_id = $1 and channel_id = $2 and thread_ts = $3
                          and user_id = $4) as "known!""#,
        tenant_id.as_str(),
        thread.channel_id.as_str(),
        thread.thread_ts.as_str(),
        user_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// What was said with a person, thread by thread and oldest first: for their export.
pub async fn list_for_user(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<Vec<ExportedMessage>, DbError> {
    let rows = sqlx::query!(
        "select channel_id, thread_ts, role, text, created_at from turns
         where tenant_id = $1 and user_id = $2 order by turn_id",
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut turns = Vec::with_capacity(rows.len());
    for row in rows {
        let text = keys::open(tx, tenant_id, MEMORY_TEXT, &row.text).await?;
        turns.push(ExportedMessage {
            thread: ThreadKey { channel_id: row.channel_id.into(), thread_ts: row.thread_ts.into() },
            role: row.role,
            said_at: row.created_at,
            text: text.expose_secret().to_owned(),
        });
    }
    Ok(turns)
}

/// Words of a conversation, as they are exported.
#[derive(Clone, Debug, Serialize)]
pub struct ExportedMessage {
    /// Where they were said.
    #[serde(flatten)]
    pub thread: ThreadKey,
    /// `user` or `assistant`.
    pub role: String,
    /// When they were remembered.
    pub said_at: DateTime<Utc>,
    /// The words, as Markdown.
    pub text: String,
}
