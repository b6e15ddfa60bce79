//! The table `replies`: how far an answer has come. A retry begins where this says the last try stopped.

use models::{ChannelId, MessageTs, TenantId, Usage};
use secrecy::ExposeSecret;

use crate::keys::{self, ColumnRef};
use crate::{DbError, Tx};

pub(crate) const REPLY_TEXT_COLUMN: ColumnRef = ColumnRef { table: "replies", column: "text" };
pub(crate) const REPLY_PARTIAL_TEXT_COLUMN: ColumnRef = ColumnRef { table: "replies", column: "text_so_far" };

/// How far an answer has come.
#[derive(Clone, Debug, Default)]
pub struct ReplyProgress {
    /// A message was about to be posted: if its `ts` is unknown, it may stand in Slack all the same.
    pub is_posting: bool,
    /// The message in Slack that is being filled.
    pub message_ts: Option<MessageTs>,
    /// Bytes of the text that earlier messages hold already.
    pub part_start: usize,
    /// What was said of an answer that the model has not ended: it goes on from there.
    pub partial_text: Option<String>,
    /// The whole answer and what all calls for it took, once the model has ended: it is never paid twice.
    pub answer: Option<(String, Usage)>,
}

/// What earlier tries have left.
pub async fn find(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<ReplyProgress, DbError> {
    let row = sqlx::query!(
        r#"select posting_since is not null as "posting!", message_ts, part_start, text, text_so_far, model,
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
    let text_so_far = match row.text_so_far {
        None => None,
        Some(sealed) => {
            let text = keys::open(tx, tenant_id, REPLY_PARTIAL_TEXT_COLUMN, &sealed).await?;
            Some(text.expose_secret().to_owned())
        }
    };
    Ok(ReplyProgress {
        is_posting: row.posting,
        partial_text: text_so_far,
        message_ts: row.message_ts.map(MessageTs::from),
        part_start: usize::try_from(row.part_start).unwrap_or_default(),
        answer,
    })
}

/// Notes that a message is about to be posted, from this byte of the text on.
pub async fn set_posting(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    part_start: usize,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into replies (seq, tenant_id, posting_since, part_start) values ($1, $2, now(), $3)
         on conflict (seq) do update set posting_since = now(), message_ts = null, part_start = $3",
        seq,
        tenant_id.as_str(),
        i32::try_from(part_start).unwrap_or(i32::MAX),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes the message that was posted.
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

/// Notes that nothing was posted after all: Slack refused it.
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

/// Keeps what was said so far, sealed.
pub async fn set_partial_text(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    text: &str,
) -> Result<(), DbError> {
    let key = keys::current(tx, tenant_id).await?;
    sqlx::query!(
        "insert into replies (seq, tenant_id, text_so_far) values ($1, $2, $3)
         on conflict (seq) do update set text_so_far = excluded.text_so_far",
        seq,
        tenant_id.as_str(),
        key.seal(REPLY_PARTIAL_TEXT_COLUMN.binding(tenant_id), text)?,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that the message is complete, with the text up to its end: nothing of that is said or shown anew.
pub async fn complete_message(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    text_so_far: &str,
) -> Result<(), DbError> {
    set_partial_text(tx, tenant_id, seq, text_so_far).await?;
    sqlx::query!(
        "update replies set part_start = $3, message_ts = null, posting_since = null
         where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
        i32::try_from(text_so_far.len()).unwrap_or(i32::MAX),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds what a call took to what earlier ones did.
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

/// Keeps the whole answer, sealed, and adds what its last call took.
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
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (seq) do update set text = excluded.text, text_so_far = null, model = excluded.model,
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

/// Drops the text once the turn holds it; the message's `ts` stays, so that a later search knows it.
pub async fn clear_text(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<(), DbError> {
    sqlx::query!(
        "update replies set text = null, text_so_far = null where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Which of these messages are known as (part of) some answer.
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
