//! `GET /dashboard/audit` and `/dashboard/audit.csv`: who did what, and when.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use db::audit_log::{Action, Chain, Entry, Filter};
use db::{Db, DbError, Tx};
use futures_util::{StreamExt, TryStreamExt, stream};
use models::{TenantId, UserId};
use serde::Deserialize;

use super::{filled, trouble};
use crate::app::App;
use crate::page::page;
use crate::session::{Manager, SignedIn};
use crate::words;

/// Entries on a page, and in one piece of the file.
const LIMIT: i64 = 100;
const PIECE: i64 = 1_000;

/// What the form asks for; empty fields are none.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    actor: String,
    action: String,
    before: String,
    /// Not empty: the chain is to be looked at, too.
    verify: String,
}

impl Asked {
    fn filter(&self) -> Filter {
        Filter { actor: filled(&self.actor), action: filled(&self.action), before: self.before.parse().ok() }
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    asked: Asked,
    entries: Vec<Entry>,
    names: HashMap<UserId, String>,
    /// Entries that are chained.
    chained: i64,
    /// What came of looking at each of them, if that was asked for.
    chain: Option<Chain>,
}

impl Audit<'_> {
    /// What a person is called; who is none is what the entry says.
    fn name<'a>(&'a self, actor: &'a str) -> &'a str {
        self.names.get(&UserId::from(actor)).map_or(actor, String::as_str)
    }

    fn number(&self, count: &i64) -> String {
        words::grouped(*count)
    }

    fn actions(&self) -> [&'static str; Action::ALL.len()] {
        Action::ALL.map(Action::as_str)
    }

    /// What the address of the same entries has behind its `?`.
    fn query(&self, before: Option<&i64>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("actor", &self.asked.actor).append_pair("action", &self.asked.action);
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        query.finish()
    }

    fn next(&self) -> Option<i64> {
        let is_full = i64::try_from(self.entries.len()).is_ok_and(|count| count == LIMIT);
        self.entries.last().filter(|_| is_full).map(|entry| entry.entry_id)
    }
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Manager(signed_in): Manager,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    match look(&app, &signed_in, asked).await {
        Ok(audit) => page(StatusCode::OK, &audit),
        Err(error) => trouble(&error),
    }
}

async fn look<'a>(app: &App, signed_in: &'a SignedIn, asked: Asked) -> Result<Audit<'a>, DbError> {
    let (tenant_id, filter) = (&signed_in.session.tenant_id, &asked.filter());
    let wants_chain = !asked.verify.is_empty();
    let read = |mut tx: Tx| async move {
        let names = db::profiles::list_names(&mut tx, tenant_id).await?;
        let entries = db::audit_log::list(&mut tx, tenant_id, filter, LIMIT).await?;
        let chained = db::audit_log::count_chained(&mut tx, tenant_id).await?;
        let chain = match wants_chain {
            false => None,
            true => Some(db::audit_log::verify(&mut tx, tenant_id).await?),
        };
        Ok::<_, DbError>((names, entries, chained, chain))
    };
    let (names, entries, chained, chain) = signed_in.read(app, read).await?;
    Ok(Audit { signed_in, here: "audit", asked, entries, names, chained, chain })
}

/// All that the filter meets, newest first, read while it is sent.
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    Manager(signed_in): Manager,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let filter = asked.map(|Query(asked)| asked).unwrap_or_default().filter();
    let head = stream::once(async { Ok(Bytes::from_static(b"when,who,what,detail\r\n")) });
    let rows = pieces(signed_in.reads(&app), signed_in.session.tenant_id, filter)
        .map_ok(|entries| Bytes::from(entries.iter().map(line).collect::<String>()));
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"audit-log.csv\""),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(head.chain(rows))).into_response()
}

fn pieces(
    db: Db,
    tenant_id: TenantId,
    filter: Filter,
) -> impl stream::Stream<Item = Result<Vec<Entry>, DbError>> {
    stream::try_unfold(Some(filter), move |filter| {
        let (db, tenant_id) = (db.clone(), tenant_id.clone());
        async move {
            let Some(filter) = filter else { return Ok(None) };
            let entries = read(&db, &tenant_id, &filter, PIECE).await?;
            let next = entries.last().map(|last| Filter { before: Some(last.entry_id), ..filter });
            Ok(next.map(|next| (entries, Some(next))))
        }
    })
}

async fn read(db: &Db, tenant_id: &TenantId, filter: &Filter, limit: i64) -> Result<Vec<Entry>, DbError> {
    let ask = |mut tx: Tx| async move { db::audit_log::list(&mut tx, tenant_id, filter, limit).await };
    Ok(db.read(tenant_id, ask).await?.value)
}

fn line(entry: &Entry) -> String {
    let detail = entry.detail.to_string();
    let columns = [&entry.created_at.to_rfc3339(), &entry.actor, &entry.action, &detail];
    columns.map(|column| quoted(column)).join(",") + "\r\n"
}

/// A spreadsheet must not take a cell for a formula.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula_and_ends_where_it_should() {
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
        assert_eq!(quoted(r#"{"a":1}"#), r#""{""a"":1}""#);
    }
}
