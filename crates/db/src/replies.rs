//! The table `replies`: progress of each reply. A retry continues where the last attempt stopped.

use models::{ChannelId, MessageTs, TenantId, Usage};
use secrecy::ExposeSecret;

use crate::keys::{self, ColumnRef};
use crate::{DbError, Tx};

pub(crate) const REPLY_TEXT_COLUMN: ColumnRef = ColumnRef { table: "replies", column: "text" };
pub(crate) const REPLY_PARTIAL_TEXT_COLUMN: ColumnRef =
    ColumnRef { table: "replies", column: "partial_text" };

/// Progress of a reply.
#[derive(Clone, Debug, Default)]
pub struct ReplyProgress {
    /// True if a message was being posted. If its `ts` is unknown, it may still be in Slack.
    pub is_posting: bool,
    /// The Slack message that is being written.
    pub message_ts: Option<MessageTs>,
    /// Bytes of the text that earlier messages already contain.
    pub message_start_byte: usize,
    /// Text of a reply that the model has not finished. The next attempt continues it.
    pub partial_text: Option<String>,
    /// Complete reply and the usage of all calls for it, once the model has finished, so that it is never
    /// paid for twice.
    pub answer: Option<(String, Usage)>,
}

/// Returns the progress of earlier attempts.
pub async fn find(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<ReplyProgress, DbError> {
    let row = sqlx::query!(
        r#"select posting_since is not null as "posting!", message_ts, message_start_byte, text, partial_text, model,
                  coalesce(prompt_tokens, 0) as "prompt_tokens!",
                  coalesce(completion_tokens, 0) as "completion_tokens!"
           from replies where tenant_id = $1 and seq = $2"#,
        tenant_id.as_str(),
        seq,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(ReplyProgress::default()) };
    let answer = match row.text {
        None => None,
        Some(sealed) => {
            let text = keys::open(tx, tenant_id, REPLY_TEXT_COLUMN, &sealed).await?;
            let usage = Usage {
                model: row.model.unwrap_or_default(),
                prompt_tokens: row.prompt_tokens,
                completion_tokens: row.completion_tokens,
            };
            Some((text.expose_secret().to_owned(), usage))
        }
    };
    let partial_text = match row.partial_text {
        None => None,
        Some(sealed) => {
            let text = keys::open(tx, tenant_id, REPLY_PARTIAL_TEXT_COLUMN, &sealed).await?;
            Some(text.expose_secret().to_owned())
        }
    };
    Ok(ReplyProgress {
        is_posting: row.posting,
        partial_text,
        message_ts: row.message_ts.map(MessageTs::from),
        message_start_byte: usize::try_from(row.message_start_byte).unwrap_or_default(),
        answer,
    })
}

/// Records that a message is about to be posted, starting at this byte of the text.
pub async fn set_posting(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    message_start_byte: usize,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into replies (seq, tenant_id, posting_since, message_start_byte) values ($1, $2, now(), $3)
         on conflict (seq) do update set posting_since = now(), message_ts = null, message_start_byte = $3",
        seq,
        tenant_id.as_str(),
        i32::try_from(message_start_byte).unwrap_or(i32::MAX),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Records the posted message.
pub async fn set_posted(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    message_ts: &MessageTs,
) -> Result<(), DbError> {
    sqlx::query!(
        "update replies set posting_since = null, message_ts = $3 where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
        message_ts.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Records that nothing was posted because Slack rejected it.
pub async fn clear_posting(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<(), DbError> {
    sqlx::query!(
        "update replies set posting_since = null where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores the partial text, encrypted, unless the event has ended: then its author was forgotten.
pub async fn set_partial_text(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    text: &str,
) -> Result<(), DbError> {
    let key = keys::current(tx, tenant_id).await?;
    sqlx::query!(
        "insert into replies (seq, tenant_id, partial_text)
         select seq, tenant_id, $3 from events where tenant_id = $2 and seq = $1 and outcome is null
         on conflict (seq) do update set partial_text = excluded.partial_text",
        seq,
        tenant_id.as_str(),
        key.seal(REPLY_PARTIAL_TEXT_COLUMN.binding(tenant_id), text)?,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Records that the message is complete, with the text up to its end, which is never generated or shown
/// again.
pub async fn complete_message(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    partial_text: &str,
) -> Result<(), DbError> {
    set_partial_text(tx, tenant_id, seq, partial_text).await?;
    sqlx::query!(
        "update replies set message_start_byte = $3, message_ts = null, posting_since = null
         where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
        i32::try_from(partial_text.len()).unwrap_or(i32::MAX),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds the usage of a call to that of earlier calls.
pub async fn add_usage(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    usage: &Usage,
    cost_micros: i64,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into replies (seq, tenant_id, model, prompt_tokens, completion_tokens, cost_micros)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (seq) do update set model = excluded.model,
             prompt_tokens = coalesce(replies.prompt_tokens, 0) + excluded.prompt_tokens,
             completion_tokens = coalesce(replies.completion_tokens, 0) + excluded.completion_tokens,
             cost_micros = replies.cost_micros + excluded.cost_micros",
        seq,
        tenant_id.as_str(),
        usage.model,
        usage.prompt_tokens,
        usage.completion_tokens,
        cost_micros,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores the complete reply, encrypted, and adds the usage of its last call. The text is not stored if the event
/// has ended: then its author was forgotten.
pub async fn set_answer(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    text: &str,
    usage: &Usage,
    cost_micros: i64,
) -> Result<(), DbError> {
    let key = keys::current(tx, tenant_id).await?;
    sqlx::query!(
        "insert into replies (seq, tenant_id, text, model, prompt_tokens, completion_tokens, cost_micros)
         values ($1, $2, (select $3::bytea from events where tenant_id = $2 and seq = $1 and outcome is null),
                 $4, $5, $6, $7)
         on conflict (seq) do update set text = excluded.text, partial_text = null, model = excluded.model,
             prompt_tokens = coalesce(replies.prompt_tokens, 0) + excluded.prompt_tokens,
             completion_tokens = coalesce(replies.completion_tokens, 0) + excluded.completion_tokens,
             cost_micros = replies.cost_micros + excluded.cost_micros",
        seq,
        tenant_id.as_str(),
        key.seal(REPLY_TEXT_COLUMN.binding(tenant_id), text)?,
        usage.model,
        usage.prompt_tokens,
        usage.completion_tokens,
        cost_micros,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes the text once the chat memory holds it. The message's `ts` stays, so that a later search
/// recognizes it.
pub async fn clear_text(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<(), DbError> {
    sqlx::query!(
        "update replies set text = null, partial_text = null where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns those of the given messages that belong to a reply.
pub async fn list_known_messages(
    tx: &mut Tx,
    tenant_id: &TenantId,
    channel_id: &ChannelId,
    message_tss: &[String],
) -> Result<Vec<String>, DbError> {
    let known = sqlx::query_scalar!(
        r#"select replies.message_ts as "message_ts!" from replies join events using (tenant_id, seq)
           where tenant_id = $1 and channel_id = $2 and replies.message_ts = any($3)
           union all
           select reply_ts from event_history
           where tenant_id = $1 and channel_id = $2 and reply_ts = any($3)"#,
        tenant_id.as_str(),
        channel_id.as_str(),
        message_tss,
    )
    .fetch_all(tx)
    .await?;
    Ok(known)
}
