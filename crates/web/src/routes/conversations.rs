//! `/dashboard/conversations`: conversations with the bot, if the workspace allows reading them.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::DateTime;
use db::audit_log::AuditAction;
use db::conversations::{ConversationSummary, MessageView, SearchCursor, SearchResult};
use db::{DbError, Tx};
use models::{ThreadKey, UserId};
use serde::Deserialize;
use serde_json::json;

use super::export_notice::is_text_readable;
use super::responses::{database_error, non_empty, not_found};
use crate::auth::CurrentUser;
use crate::format::{self, PageFormat};
use crate::page::render_page;
use crate::state::WebState;

/// Maximum number of conversations or search results on a page.
const MAX_CONVERSATION_ROWS: usize = 40;

/// Query of the list. Empty fields are not set.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConversationQuery {
    q: String,
    person: String,
    /// Cursor of the next page: a time in microseconds, a dot, and the id of a message.
    from: String,
}

#[derive(Template)]
#[template(path = "conversations.html")]
struct ConversationListPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    is_allowed: bool,
    query: ConversationQuery,
    conversations: Vec<ConversationSummary>,
    search: SearchResult,
    names: HashMap<UserId, String>,
}

#[derive(Template)]
#[template(path = "conversation.html")]
struct ConversationPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    thread: ThreadKey,
    messages: Vec<MessageView>,
    names: HashMap<UserId, String>,
}

pub(crate) async fn list(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    query: Result<Query<ConversationQuery>, QueryRejection>,
) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    match load_list(&app, &signed_in, query).await {
        Ok(page) => render_page(StatusCode::OK, &page),
        Err(error) => database_error(&error),
    }
}

async fn load_list<'a>(
    app: &WebState,
    signed_in: &'a CurrentUser,
    query: ConversationQuery,
) -> Result<ConversationListPage<'a>, DbError> {
    let tenant_id = &signed_in.session.tenant_id;
    let (user_id, cursor, search_text) =
        (find_visible_user(signed_in, &query.person), parse_cursor(&query.from), non_empty(&query.q));
    let (user_id, search_text) = (user_id.as_ref(), search_text.as_ref());
    // Not asked of the read replica, which may not know yet that an admin turned it off.
    let is_allowed = is_text_readable(&mut app.db.begin(tenant_id).await?, tenant_id).await?;
    let read = |mut tx: Tx| async move {
        let (mut conversations, mut search, mut names) = <(Vec<_>, SearchResult, HashMap<_, _>)>::default();
        if is_allowed {
            let limit = MAX_CONVERSATION_ROWS;
            match search_text {
                Some(text) => {
                    search =
                        db::conversations::search(&mut tx, tenant_id, user_id, text, cursor, limit).await?;
                }
                None => {
                    let before = cursor.map(|cursor| cursor.sent_at);
                    conversations =
                        db::conversations::list(&mut tx, tenant_id, user_id, before, limit as i64).await?;
                }
            }
            names = db::profiles::list_names(&mut tx, tenant_id).await?;
        }
        Ok::<_, DbError>((conversations, search, names))
    };
    let (conversations, search, names) = signed_in.read(app, read).await?;
    Ok(ConversationListPage {
        signed_in,
        active_page: "conversations",
        is_allowed,
        query,
        conversations,
        search,
        names,
    })
}

/// Shows the conversation in a thread. If someone else's messages are shown, the audit log records it.
pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    Path((channel_id, thread_ts)): Path<(String, String)>,
) -> Response {
    let thread = ThreadKey { channel_id: channel_id.into(), thread_ts: thread_ts.into() };
    match load_conversation(&app, &signed_in, &thread).await {
        Ok((messages, _)) if messages.is_empty() => not_found().await,
        Ok((messages, names)) => render_page(
            StatusCode::OK,
            &ConversationPage {
                signed_in: &signed_in,
                active_page: "conversations",
                thread,
                messages,
                names,
            },
        ),
        Err(error) => database_error(&error),
    }
}

async fn load_conversation(
    app: &WebState,
    signed_in: &CurrentUser,
    thread: &ThreadKey,
) -> Result<(Vec<MessageView>, HashMap<UserId, String>), DbError> {
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let mut tx = app.db.begin(tenant_id).await?;
    if !is_text_readable(&mut tx, tenant_id).await? {
        return Ok(<_>::default());
    }
    let user_id = find_visible_user(signed_in, "");
    let messages = db::conversations::list_messages(&mut tx, tenant_id, thread, user_id.as_ref()).await?;
    let names = db::profiles::list_names(&mut tx, tenant_id).await?;
    if messages.iter().any(|message| message.user_id != signed_in.session.user_id) {
        let detail = json!({ "channel_id": thread.channel_id, "thread_ts": thread.thread_ts });
        db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::ConversationRead, detail).await?;
        tx.commit().await?;
    }
    Ok((messages, names))
}

/// Returns the person whose conversations are shown; `None` shows all. Members see only their own.
fn find_visible_user(signed_in: &CurrentUser, person: &str) -> Option<UserId> {
    match signed_in.is_admin {
        true => non_empty(person).map(UserId::from),
        false => Some(signed_in.session.user_id.clone()),
    }
}

fn parse_cursor(text: &str) -> Option<SearchCursor> {
    let (micros, message_id) = text.split_once('.')?;
    Some(SearchCursor {
        sent_at: DateTime::from_timestamp_micros(micros.parse().ok()?)?,
        message_id: message_id.parse().ok()?,
    })
}

impl ConversationListPage<'_> {
    fn name<'a>(&'a self, user_id: &'a UserId) -> &'a str {
        self.names.get(user_id).map_or(user_id.as_str(), String::as_str)
    }

    /// Returns the query string of the next page, if there is one.
    fn next_query(&self) -> Option<String> {
        let last = match self.conversations.last() {
            Some(last) if self.conversations.len() == MAX_CONVERSATION_ROWS => Some((last.last_at, 0)),
            _ => self.search.next.map(|cursor| (cursor.sent_at, cursor.message_id)),
        };
        last.map(|(at, message_id)| {
            let from = format!("{}.{message_id}", at.timestamp_micros());
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("q", &self.query.q).append_pair("person", &self.query.person);
            query.append_pair("from", &from).finish()
        })
    }
}

impl ConversationPage<'_> {
    fn name<'a>(&'a self, user_id: &'a UserId) -> &'a str {
        self.names.get(user_id).map_or(user_id.as_str(), String::as_str)
    }

    fn millis(&self, millis: &Option<i32>) -> String {
        format::seconds(millis.map(|millis| f64::from(millis) / 1_000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_cursor_parses_or_is_none() {
        assert_eq!(
            parse_cursor("1000000.7").map(|cursor| (cursor.sent_at.timestamp(), cursor.message_id)),
            Some((1, 7))
        );
        assert!(
            ["", "1", "x.1", "1.x", "99999999999999999999.1"].iter().all(|text| parse_cursor(text).is_none())
        );
    }
}
