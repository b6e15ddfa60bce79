//! `/dashboard/conversations`: what people asked and what was answered, where the workspace allows it to be read.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::DateTime;
use db::audit_log::Action;
use db::conversations::{Conversation, Place, Said, Search};
use db::{DbError, Tx};
use models::{ThreadKey, UserId};
use serde::Deserialize;
use serde_json::json;

use super::{filled, landing, trouble};
use crate::app::App;
use crate::page::page;
use crate::session::SignedIn;
use crate::words;

/// Threads, or findings, on a page.
const LIMIT: usize = 40;

/// What the form asks for; empty fields are none.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    q: String,
    person: String,
    /// Where the list or the search goes on: a time in microseconds, and a number behind a dot.
    from: String,
}

#[derive(Template)]
#[template(path = "conversations.html")]
struct List<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    is_allowed: bool,
    asked: Asked,
    conversations: Vec<Conversation>,
    search: Search,
    names: HashMap<UserId, String>,
}

#[derive(Template)]
#[template(path = "conversation.html")]
struct One<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    thread: ThreadKey,
    said: Vec<Said>,
    names: HashMap<UserId, String>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    match look(&app, &signed_in, asked).await {
        Ok(list) => page(StatusCode::OK, &list),
        Err(error) => trouble(&error),
    }
}

async fn look<'a>(app: &App, signed_in: &'a SignedIn, asked: Asked) -> Result<List<'a>, DbError> {
    let tenant_id = &signed_in.session.tenant_id;
    let (of, from, wanted) = (of(signed_in, &asked.person), place(&asked.from), filled(&asked.q));
    let (of, wanted) = (of.as_ref(), wanted.as_ref());
    let read = |mut tx: Tx| async move {
        let (mut conversations, mut search, mut names) = <(Vec<_>, Search, HashMap<_, _>)>::default();
        let is_allowed = is_allowed(&mut tx, signed_in).await?;
        if is_allowed {
            match wanted {
                Some(q) => {
                    search = db::conversations::search(&mut tx, tenant_id, of, q, from, LIMIT).await?;
                }
                None => {
                    let before = from.map(|place| place.said_at);
                    conversations =
                        db::conversations::list(&mut tx, tenant_id, of, before, LIMIT as i64).await?;
                }
            }
            names = db::profiles::list_names(&mut tx, tenant_id).await?;
        }
        Ok::<_, DbError>((is_allowed, conversations, search, names))
    };
    let (is_allowed, conversations, search, names) = signed_in.read(app, read).await?;
    Ok(List { signed_in, here: "conversations", is_allowed, asked, conversations, search, names })
}

/// What was said in a thread. That an admin read it is written down with the reading.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    Path((channel_id, thread_ts)): Path<(String, String)>,
) -> Response {
    let thread = ThreadKey { channel_id: channel_id.into(), thread_ts: thread_ts.into() };
    match read(&app, &signed_in, &thread).await {
        Ok((said, _)) if said.is_empty() => landing::not_found().await,
        Ok((said, names)) => {
            page(StatusCode::OK, &One { signed_in: &signed_in, here: "conversations", thread, said, names })
        }
        Err(error) => trouble(&error),
    }
}

async fn read(
    app: &App,
    signed_in: &SignedIn,
    thread: &ThreadKey,
) -> Result<(Vec<Said>, HashMap<UserId, String>), DbError> {
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let mut tx = app.db.begin(tenant_id).await?;
    if !is_allowed(&mut tx, signed_in).await? {
        return Ok(<_>::default());
    }
    let of = of(signed_in, "");
    let said = db::conversations::show(&mut tx, tenant_id, thread, of.as_ref()).await?;
    let names = db::profiles::list_names(&mut tx, tenant_id).await?;
    if said.iter().any(|words| words.user_id != signed_in.session.user_id) {
        let detail = json!({ "channel_id": thread.channel_id, "thread_ts": thread.thread_ts });
        db::audit_log::insert(&mut tx, tenant_id, actor, Action::ConversationRead, detail).await?;
        tx.commit().await?;
    }
    Ok((said, names))
}

async fn is_allowed(tx: &mut Tx, signed_in: &SignedIn) -> Result<bool, DbError> {
    Ok(db::settings::find(tx, &signed_in.session.tenant_id).await?.settings.conversations)
}

/// Members see their own; admins everybody's, or a person's.
fn of(signed_in: &SignedIn, person: &str) -> Option<UserId> {
    match signed_in.manages {
        true => filled(person).map(UserId::from),
        false => Some(signed_in.session.user_id.clone()),
    }
}

fn place(text: &str) -> Option<Place> {
    let (micros, turn_id) = text.split_once('.')?;
    Some(Place {
        said_at: DateTime::from_timestamp_micros(micros.parse().ok()?)?,
        turn_id: turn_id.parse().ok()?,
    })
}

impl List<'_> {
    fn name<'a>(&'a self, user_id: &'a UserId) -> &'a str {
        self.names.get(user_id).map_or(user_id.as_str(), String::as_str)
    }

    fn dollars(&self, micros: &i64) -> String {
        words::dollars(*micros)
    }

    /// What the address of the rest has behind its `?`, if there is a rest.
    fn next(&self) -> Option<String> {
        let last = match self.conversations.last() {
            Some(last) if self.conversations.len() == LIMIT => Some((last.last_at, 0)),
            _ => self.search.next.map(|place| (place.said_at, place.turn_id)),
        };
        last.map(|(at, turn_id)| {
            let from = format!("{}.{turn_id}", at.timestamp_micros());
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("q", &self.asked.q).append_pair("person", &self.asked.person);
            query.append_pair("from", &from).finish()
        })
    }
}

impl One<'_> {
    fn name<'a>(&'a self, user_id: &'a UserId) -> &'a str {
        self.names.get(user_id).map_or(user_id.as_str(), String::as_str)
    }

    fn dollars(&self, micros: &i64) -> String {
        words::dollars(*micros)
    }

    fn millis(&self, millis: &Option<i32>) -> String {
        words::seconds(millis.map(|millis| f64::from(millis) / 1_000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_or_is_none() {
        assert_eq!(place("1000000.7").map(|place| (place.said_at.timestamp(), place.turn_id)), Some((1, 7)));
        assert!(["", "1", "x.1", "1.x", "99999999999999999999.1"].iter().all(|text| place(text).is_none()));
    }
}
