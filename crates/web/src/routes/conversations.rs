//! `/dashboard/conversations`: what people asked and what was answered, where the workspace allows it to be read.

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

use super::{database_error, landing, non_empty};
use crate::auth::CurrentUser;
use crate::format;
use crate::page::render_page;
use crate::state::WebState;

/// Threads, or findings, on a page.
const MAX_CONVERSATION_ROWS: usize = 40;

/// What the form asks for; empty fields are none.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConversationQuery {
    q: String,
    person: String,
    /// Where the list or the search goes on: a time in microseconds, and a number behind a dot.
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
    asked: Result<Query<ConversationQuery>, QueryRejection>,
) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    match load_list(&app, &signed_in, asked).await {
        Ok(list) => render_page(StatusCode::OK, &list),
        Err(error) => database_error(&error),
    }
}

async fn load_list<'a>(
    app: &WebState,
    signed_in: &'a CurrentUser,
    asked: ConversationQuery,
) -> Result<ConversationListPage<'a>, DbError> {
    let tenant_id = &signed_in.session.tenant_id;
    let (of, from, wanted) =
        (find_visible_user(signed_in, &asked.person), parse_cursor(&asked.from), non_empty(&asked.q));
    let (of, wanted) = (of.as_ref(), wanted.as_ref());
    let read = |mut tx: Tx| async move {
        let (mut conversations, mut search, mut names) = <(Vec<_>, SearchResult, HashMap<_, _>)>::default();
        let is_allowed = is_allowed(&mut tx, signed_in).await?;
        if is_allowed {
            match wanted {
                Some(q) => {
                    search =
                        db::conversations::search(&mut tx, tenant_id, of, q, from, MAX_CONVERSATION_ROWS)
                            .await?;
                }
                None => {
                    let before = from.map(|place| place.sent_at);
                    conversations =
                        db::conversations::list(&mut tx, tenant_id, of, before, MAX_CONVERSATION_ROWS as i64)
                            .await?;
                }
            }
            names = db::profiles::list_names(&mut tx, tenant_id).await?;
        }
        Ok::<_, DbError>((is_allowed, conversations, search, names))
    };
    let (is_allowed, conversations, search, names) = signed_in.read(app, read).await?;
    Ok(ConversationListPage {
        signed_in,
        active_page: "conversations",
        is_allowed,
        query: asked,
        conversations,
        search,
        names,
    })
}

/// What was said in a thread. That an admin read it is written down with the reading.
pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    Path((channel_id, thread_ts)): Path<(String, String)>,
) -> Response {
    let thread = ThreadKey { channel_id: channel_id.into(), thread_ts: thread_ts.into() };
    match load_conversation(&app, &signed_in, &thread).await {
        Ok((said, _)) if said.is_empty() => landing::not_found().await,
        Ok((said, names)) => render_page(
            StatusCode::OK,
            &ConversationPage {
                signed_in: &signed_in,
                active_page: "conversations",
                thread,
                messages: said,
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
    if !is_allowed(&mut tx, signed_in).await? {
        return Ok(<_>::default());
    }
    let of = find_visible_user(signed_in, "");
    let said = db::conversations::list_messages(&mut tx, tenant_id, thread, of.as_ref()).await?;
    let names = db::profiles::list_names(&mut tx, tenant_id).await?;
    if said.iter().any(|words| words.user_id != signed_in.session.user_id) {
        let detail = json!({ "channel_id": thread.channel_id, "thread_ts": thread.thread_ts });
        db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::ConversationRead, detail).await?;
        tx.commit().await?;
    }
    Ok((said, names))
}

async fn is_allowed(tx: &mut Tx, signed_in: &CurrentUser) -> Result<bool, DbError> {
    Ok(db::settings::find(tx, &signed_in.session.tenant_id).await?.settings.has_conversation_access)
}

/// Members see their own; admins everybody's, or a person's.
fn find_visible_user(signed_in: &CurrentUser, person: &str) -> Option<UserId> {
    match signed_in.is_admin {
        true => non_empty(person).map(UserId::from),
        false => Some(signed_in.session.user_id.clone()),
    }
}

fn parse_cursor(text: &str) -> Option<SearchCursor> {
    let (micros, turn_id) = text.split_once('.')?;
    Some(SearchCursor {
        sent_at: DateTime::from_timestamp_micros(micros.parse().ok()?)?,
        turn_id: turn_id.parse().ok()?,
    })
}

impl ConversationListPage<'_> {
    fn name<'a>(&'a self, user_id: &'a UserId) -> &'a str {
        self.names.get(user_id).map_or(user_id.as_str(), String::as_str)
    }

    fn dollars(&self, micros: &i64) -> String {
        format::dollars(*micros)
    }

    /// What the address of the rest has behind its `?`, if there is a rest.
    fn next_query(&self) -> Option<String> {
        let last = match self.conversations.last() {
            Some(last) if self.conversations.len() == MAX_CONVERSATION_ROWS => Some((last.last_at, 0)),
            _ => self.search.next.map(|place| (place.sent_at, place.turn_id)),
        };
        last.map(|(at, turn_id)| {
            let from = format!("{}.{turn_id}", at.timestamp_micros());
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

    fn dollars(&self, micros: &i64) -> String {
        format::dollars(*micros)
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
            parse_cursor("1000000.7").map(|place| (place.sent_at.timestamp(), place.turn_id)),
            Some((1, 7))
        );
        assert!(
            ["", "1", "x.1", "1.x", "99999999999999999999.1"].iter().all(|text| parse_cursor(text).is_none())
        );
    }
}
