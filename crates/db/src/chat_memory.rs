//! The table `chat_memory`: the messages and replies of the bot's threads, encrypted.

use chrono::{DateTime, Utc};
use models::{Affiliation, ChatMessage, Role, TenantId, ThreadKey, UserId};
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::forgetting::FORGOTTEN_REASON;
use crate::keys::{self, ColumnRef};
use crate::{DbError, Tx};

pub(crate) const MEMORY_TEXT: ColumnRef = ColumnRef { table: "chat_memory", column: "text" };

/// Adds messages to a thread's memory, unless the question's author was forgotten meanwhile. `seq` is the number
/// of the question.
pub async fn insert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    thread: &ThreadKey,
    seq: i64,
    messages: &[ChatMessage],
) -> Result<(), DbError> {
    let key = keys::current(tx, tenant_id).await?;
    for message in messages {
        sqlx::query!(
            "insert into chat_memory (tenant_id, channel_id, thread_ts, role, user_id, origin, text, seq)
             select $1, $2, $3, $4, $5, $6, $7, $8
             where not exists (select from events where tenant_id = $1 and seq = $8 and reason = $9)",
            tenant_id.as_str(),
            thread.channel_id.as_str(),
            thread.thread_ts.as_str(),
            message.role.as_str(),
            message.user_id.as_str(),
            message.affiliation.as_str(),
            key.seal(MEMORY_TEXT.binding(tenant_id), &message.text)?,
            seq,
            FORGOTTEN_REASON,
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Lists the last messages of a thread, oldest first.
pub async fn list(
    tx: &mut Tx,
    tenant_id: &TenantId,
    thread: &ThreadKey,
    limit: i64,
) -> Result<Vec<ChatMessage>, DbError> {
    let rows = sqlx::query!(
        "select role, user_id, origin, text from chat_memory
         where tenant_id = $1 and channel_id = $2 and thread_ts = $3
         order by message_id desc limit $4",
        tenant_id.as_str(),
        thread.channel_id.as_str(),
        thread.thread_ts.as_str(),
        limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows.into_iter().rev() {
        let text = keys::open(tx, tenant_id, MEMORY_TEXT, &row.text).await?;
        messages.push(ChatMessage {
            role: if row.role == Role::User.as_str() { Role::User } else { Role::Assistant },
            user_id: row.user_id.into(),
            affiliation: Affiliation::from(row.origin.as_str()),
            text: text.expose_secret().to_owned(),
        });
    }
    Ok(messages)
}

/// Returns whether a thread has messages with this person.
pub async fn has_messages(
    tx: &mut Tx,
    tenant_id: &TenantId,
    thread: &ThreadKey,
    user_id: &UserId,
) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from chat_memory where tenant_id = $1 and channel_id = $2 and thread_ts = $3
                          and user_id = $4) as "known!""#,
        tenant_id.as_str(),
        thread.channel_id.as_str(),
        thread.thread_ts.as_str(),
        user_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// Lists the messages with a person, by thread and oldest first, for their export.
pub async fn list_for_user(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<Vec<ExportedMessage>, DbError> {
    let rows = sqlx::query!(
        "select channel_id, thread_ts, role, text, created_at from chat_memory
         where tenant_id = $1 and user_id = $2 order by message_id",
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        let text = keys::open(tx, tenant_id, MEMORY_TEXT, &row.text).await?;
        messages.push(ExportedMessage {
            thread: ThreadKey { channel_id: row.channel_id.into(), thread_ts: row.thread_ts.into() },
            role: row.role,
            said_at: row.created_at,
            text: text.expose_secret().to_owned(),
        });
    }
    Ok(messages)
}

/// A message as exported.
#[derive(Clone, Debug, Serialize)]
pub struct ExportedMessage {
    /// Thread of the message.
    #[serde(flatten)]
    pub thread: ThreadKey,
    /// `user` or `assistant`.
    pub role: String,
    /// Time at which it was stored.
    pub said_at: DateTime<Utc>,
    /// Text, as Markdown.
    pub text: String,
}
