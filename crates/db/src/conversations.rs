//! Conversations for the dashboard, from `chat_memory`, `usage` and `feedback`. The text is encrypted, so a
//! search decrypts it, newest first.

use chrono::{DateTime, Utc};
use models::{TenantId, ThreadKey, UserId};
use secrecy::ExposeSecret;

use crate::chat_memory::MEMORY_TEXT;
use crate::{DbError, Tx, keys};

/// Messages of a thread that are shown.
const MAX_SHOWN_MESSAGES: i64 = 500;

/// Messages decrypted per batch.
const SEARCH_BATCH: i64 = 1_000;

/// Batches per search; after that the search returns a cursor.
const MAX_SEARCH_BATCHES: usize = 5;

/// Characters shown around a match.
const EXCERPT_CONTEXT_CHARS: usize = 80;

/// A thread.
#[derive(Clone, Debug)]
pub struct ConversationSummary {
    /// The thread.
    pub thread: ThreadKey,
    /// The person who asked first.
    pub user_id: UserId,
    /// The first message; empty if it was deleted.
    pub first_message: String,
    /// Number of questions.
    pub questions: i64,
    /// Time at which the last one finished.
    pub last_at: DateTime<Utc>,
    /// Cost of the replies, in millionths of a dollar.
    pub cost_micros: i64,
}

/// Lists the threads with replies, most recently active first; only the threads of `user_id`, if given.
pub async fn list(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: Option<&UserId>,
    before: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<ConversationSummary>, DbError> {
    let rows = sqlx::query!(
        r#"with threads as (
               select channel_id, thread_ts, count(*) as questions, max(created_at) as last_at,
                      sum(cost_micros)::bigint as cost_micros
               from usage
               where tenant_id = $1 and channel_id is not null and outcome in ('answered', 'stopped')
                 and ($2::text is null or user_id = $2)
               group by channel_id, thread_ts
               having $3::timestamptz is null or max(created_at) < $3
               order by last_at desc limit $4
           )
           select s.channel_id as "channel_id!", s.thread_ts as "thread_ts!", s.questions as "questions!",
                  s.last_at as "last_at!", s.cost_micros as "cost_micros!", first.user_id, first.text
           from threads s
           cross join lateral (
               select user_id, text from chat_memory t
               where t.tenant_id = $1 and t.channel_id = s.channel_id and t.thread_ts = s.thread_ts
                 and t.role = 'user' and ($2::text is null or t.user_id = $2)
               order by message_id limit 1) as first
           order by s.last_at desc"#,
        tenant_id.as_str(),
        user_id.map(UserId::as_str),
        before,
        limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut conversations = Vec::with_capacity(rows.len());
    for row in rows {
        let text = keys::open(tx, tenant_id, MEMORY_TEXT, &row.text).await?;
        conversations.push(ConversationSummary {
            thread: ThreadKey { channel_id: row.channel_id.into(), thread_ts: row.thread_ts.into() },
            user_id: row.user_id.into(),
            first_message: text.expose_secret().chars().take(2 * EXCERPT_CONTEXT_CHARS).collect(),
            questions: row.questions,
            last_at: row.last_at,
            cost_micros: row.cost_micros,
        });
    }
    Ok(conversations)
}

/// A message or reply, with its metrics.
#[derive(Clone, Debug)]
pub struct MessageView {
    /// `user` or `assistant`.
    pub role: String,
    /// The person who asked or is answered.
    pub user_id: UserId,
    /// Text.
    pub text: String,
    /// Time at which it was stored.
    pub sent_at: DateTime<Utc>,
    /// Event of the question.
    pub event_id: Option<String>,
    /// Outcome of the event.
    pub outcome: Option<String>,
    /// Failed attempts before it, as long as the event is stored.
    pub failed_attempts: i32,
    /// Milliseconds from the question to the first token.
    pub first_token_ms: Option<i32>,
    /// Milliseconds from the question to the complete reply.
    pub total_ms: Option<i32>,
    /// Model that answered.
    pub model: String,
    /// Prompt tokens.
    pub prompt_tokens: i64,
    /// Completion tokens.
    pub completion_tokens: i64,
    /// Cost in millionths of a dollar.
    pub cost_micros: i64,
    /// Number of thumbs up.
    pub liked: i64,
    /// Number of thumbs down.
    pub disliked: i64,
}

/// Lists the messages of a thread, oldest first; only those with `user_id`, if given.
pub async fn list_messages(
    tx: &mut Tx,
    tenant_id: &TenantId,
    thread: &ThreadKey,
    user_id: Option<&UserId>,
) -> Result<Vec<MessageView>, DbError> {
    let rows = sqlx::query!(
        r#"select t.role, t.user_id, t.text, t.created_at, u.event_id as "event_id?", u.outcome as "outcome?",
                  coalesce(jsonb_array_length(coalesce(e.attempts_log, h.attempts_log)), 0) as "failed_tries!",
                  u.first_token_ms as "first_token_ms?", u.total_ms as "total_ms?",
                  coalesce(u.model, '') as "model!", coalesce(u.prompt_tokens, 0) as "prompt_tokens!",
                  coalesce(u.completion_tokens, 0) as "completion_tokens!",
                  coalesce(u.cost_micros, 0) as "cost_micros!",
                  (select count(*) from feedback f where f.tenant_id = $1 and f.event_id = u.event_id and positive)
                      as "liked!",
                  (select count(*) from feedback f where f.tenant_id = $1 and f.event_id = u.event_id
                   and not positive) as "disliked!"
           from chat_memory t
           left join usage u on u.tenant_id = t.tenant_id and u.seq = t.seq
           left join events e on e.tenant_id = t.tenant_id and e.seq = t.seq
           left join event_history h on h.tenant_id = t.tenant_id and h.received_at = u.asked_at and h.seq = t.seq
           where t.tenant_id = $1 and t.channel_id = $2 and t.thread_ts = $3 and ($4::text is null or t.user_id = $4)
           order by t.message_id limit $5"#,
        tenant_id.as_str(),
        thread.channel_id.as_str(),
        thread.thread_ts.as_str(),
        user_id.map(UserId::as_str),
        MAX_SHOWN_MESSAGES,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        messages.push(MessageView {
            text: keys::open(tx, tenant_id, MEMORY_TEXT, &row.text).await?.expose_secret().to_owned(),
            role: row.role,
            user_id: row.user_id.into(),
            sent_at: row.created_at,
            event_id: row.event_id,
            outcome: row.outcome,
            failed_attempts: row.failed_tries,
            first_token_ms: row.first_token_ms,
            total_ms: row.total_ms,
            model: row.model,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            cost_micros: row.cost_micros,
            liked: row.liked,
            disliked: row.disliked,
        });
    }
    Ok(messages)
}

/// Position at which a search continues, with older messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchCursor {
    /// Time of the last message that was searched.
    pub sent_at: DateTime<Utc>,
    /// Id of that message, to order messages of the same time.
    pub message_id: i64,
}

/// A match.
#[derive(Clone, Debug)]
pub struct SearchHit {
    /// Thread of the match.
    pub thread: ThreadKey,
    /// The person who asked or is answered.
    pub user_id: UserId,
    /// Time of the message.
    pub sent_at: DateTime<Utc>,
    /// Text before the match.
    pub before: String,
    /// The matched text.
    pub matched: String,
    /// Text after the match.
    pub after: String,
}

/// Matches of a search, and the position it reached.
#[derive(Clone, Debug, Default)]
pub struct SearchResult {
    /// Matches, newest first.
    pub hits: Vec<SearchHit>,
    /// Position at which to continue; `None` if everything was searched.
    pub next: Option<SearchCursor>,
}

/// Searches messages, newest first, starting after the cursor `after` if given; only those with `user_id`,
/// if given.
pub async fn search(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: Option<&UserId>,
    words: &str,
    after: Option<SearchCursor>,
    limit: usize,
) -> Result<SearchResult, DbError> {
    let mut search = SearchResult { hits: Vec::new(), next: after };
    for _ in 0..MAX_SEARCH_BATCHES {
        let rows = sqlx::query!(
            "select channel_id, thread_ts, message_id, user_id, text, created_at from chat_memory
             where tenant_id = $1 and ($2::text is null or user_id = $2)
               and ($3::timestamptz is null or (created_at, message_id) < ($3, $4))
             order by created_at desc, message_id desc limit $5",
            tenant_id.as_str(),
            user_id.map(UserId::as_str),
            search.next.map(|cursor| cursor.sent_at),
            search.next.map(|cursor| cursor.message_id),
            SEARCH_BATCH,
        )
        .fetch_all(&mut *tx)
        .await?;
        let is_last = i64::try_from(rows.len()).is_ok_and(|count| count < SEARCH_BATCH);
        for row in rows {
            let text = keys::open(tx, tenant_id, MEMORY_TEXT, &row.text).await?;
            search.next = Some(SearchCursor { sent_at: row.created_at, message_id: row.message_id });
            if let Some((before, found, after)) = excerpt(text.expose_secret(), words) {
                let thread = ThreadKey { channel_id: row.channel_id.into(), thread_ts: row.thread_ts.into() };
                let (user_id, said_at) = (row.user_id.into(), row.created_at);
                search.hits.push(SearchHit {
                    thread,
                    user_id,
                    sent_at: said_at,
                    before,
                    matched: found,
                    after,
                });
                if search.hits.len() == limit {
                    return Ok(search);
                }
            }
        }
        if is_last {
            search.next = None;
            break;
        }
    }
    Ok(search)
}

/// Finds `words` in the text, ignoring case, and returns the text before it, the match, and the text after
/// it.
fn excerpt(text: &str, words: &str) -> Option<(String, String, String)> {
    let chars: Vec<char> = text.chars().collect();
    let lower = |c: &char| c.to_lowercase().next().unwrap_or(*c);
    let wanted: Vec<char> = words.chars().map(|c| lower(&c)).collect();
    if wanted.is_empty() {
        return None;
    }
    let at =
        chars.windows(wanted.len()).position(|window| window.iter().map(lower).eq(wanted.iter().copied()))?;
    let end = at + wanted.len();
    let of = |part: &[char]| part.iter().collect::<String>();
    let from = at.saturating_sub(EXCERPT_CONTEXT_CHARS);
    let mut before = of(&chars[from..at]);
    if from > 0 {
        before.insert(0, '…');
    }
    let until = (end + EXCERPT_CONTEXT_CHARS).min(chars.len());
    let mut after = of(&chars[end..until]);
    if until < chars.len() {
        after.push('…');
    }
    Some((before, of(&chars[at..end]), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_ignores_case_and_keeps_original() {
        let found = |text, words| excerpt(text, words).map(|(_, found, _)| found);
        assert_eq!(found("Über die Reise", "ÜBER"), Some("Über".into()));
        assert_eq!(found("nothing", "x"), None);
        assert_eq!(found("nothing", ""), None);
        let long = format!("{}needle{}", "a".repeat(100), "b".repeat(100));
        let (before, found, after) = excerpt(&long, "needle").expect("found");
        assert_eq!((before.chars().count(), found.as_str(), after.chars().count()), (81, "needle", 81));
    }
}
