//! `GET /dashboard/audit` and `/dashboard/audit.csv`: the audit log.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use db::audit_log::{AuditAction, AuditChain, AuditEntry, AuditFilter};
use db::{Db, DbError, Tx};
use futures_util::{StreamExt, TryStreamExt, stream};
use models::{TenantId, UserId};
use serde::Deserialize;

use super::responses::{database_error, non_empty};
use crate::auth::streams::SessionStream;
use crate::auth::{ConfirmedAdmin, CurrentUser, WorkspaceAdmin};
use crate::format::PageFormat;
use crate::page::render_page;
use crate::state::WebState;
use crate::stream_limits::StreamKind;

/// Maximum number of entries on a page, and per query of the CSV file.
const MAX_AUDIT_ROWS: i64 = 100;
const CSV_BATCH_SIZE: i64 = 1_000;

/// Query of the list. Empty fields are not set.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct AuditQuery {
    actor: String,
    action: String,
    before: String,
    /// Not empty to verify the hash chain.
    verify: String,
}

impl AuditQuery {
    fn filter(&self) -> AuditFilter {
        AuditFilter {
            actor: non_empty(&self.actor),
            action: non_empty(&self.action),
            before: self.before.parse().ok(),
        }
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    query: AuditQuery,
    entries: Vec<AuditEntry>,
    names: HashMap<UserId, String>,
    /// Number of entries in the hash chain.
    chained: i64,
    /// The result of the verification, if it was requested.
    chain: Option<AuditChain>,
}

impl AuditPage<'_> {
    /// Returns the name of a person, or the actor as recorded.
    fn name<'a>(&'a self, actor: &'a str) -> &'a str {
        self.names.get(&UserId::from(actor)).map_or(actor, String::as_str)
    }

    fn actions(&self) -> [&'static str; AuditAction::ALL_ACTIONS.len()] {
        AuditAction::ALL_ACTIONS.map(AuditAction::as_str)
    }

    /// Returns the query string of the same list, from `before` on.
    fn query_string(&self, before: Option<&i64>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("actor", &self.query.actor).append_pair("action", &self.query.action);
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        query.finish()
    }

    fn next_before(&self) -> Option<i64> {
        let is_full = i64::try_from(self.entries.len()).is_ok_and(|count| count == MAX_AUDIT_ROWS);
        self.entries.last().filter(|_| is_full).map(|entry| entry.entry_id)
    }
}

pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    match load_page(&app, &signed_in, query).await {
        Ok(page) => render_page(StatusCode::OK, &page),
        Err(error) => database_error(&error),
    }
}

async fn load_page<'a>(
    app: &WebState,
    signed_in: &'a CurrentUser,
    query: AuditQuery,
) -> Result<AuditPage<'a>, DbError> {
    let (tenant_id, filter) = (&signed_in.session.tenant_id, &query.filter());
    let is_verify = !query.verify.is_empty();
    let read = |mut tx: Tx| async move {
        let names = db::profiles::list_names(&mut tx, tenant_id).await?;
        let entries = db::audit_log::list(&mut tx, tenant_id, filter, MAX_AUDIT_ROWS).await?;
        let chained = db::audit_log::count_entries(&mut tx, tenant_id).await?;
        let chain = match is_verify {
            false => None,
            true => Some(db::audit_log::verify(&mut tx, tenant_id).await?),
        };
        Ok::<_, DbError>((names, entries, chained, chain))
    };
    let (names, entries, chained, chain) = signed_in.read(app, read).await?;
    Ok(AuditPage { signed_in, active_page: "audit", query, entries, names, chained, chain })
}

/// Streams all matching entries as CSV, newest first.
pub(crate) async fn export_csv(
    State(app): State<Arc<WebState>>,
    ConfirmedAdmin(signed_in): ConfirmedAdmin,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Response {
    let download = match SessionStream::begin(&app, &signed_in, StreamKind::Download) {
        Ok(download) => download,
        Err(refusal) => return refusal,
    };
    let filter = query.map(|Query(query)| query).unwrap_or_default().filter();
    let head = stream::once(async { Ok(Bytes::from_static(b"when,actor,action,details\r\n")) });
    let rows = stream_entries(signed_in.read_db(&app), signed_in.session.tenant_id, filter)
        .map_ok(|entries| Bytes::from(entries.iter().map(csv_line).collect::<String>()));
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"audit-log.csv\""),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(download.guard(head.chain(rows)))).into_response()
}

fn stream_entries(
    db: Db,
    tenant_id: TenantId,
    filter: AuditFilter,
) -> impl stream::Stream<Item = Result<Vec<AuditEntry>, DbError>> {
    stream::try_unfold(Some(filter), move |filter| {
        let (db, tenant_id) = (db.clone(), tenant_id.clone());
        async move {
            let Some(filter) = filter else { return Ok(None) };
            let entries = list_entries(&db, &tenant_id, &filter, CSV_BATCH_SIZE).await?;
            let next = entries.last().map(|last| AuditFilter { before: Some(last.entry_id), ..filter });
            Ok(next.map(|next| (entries, Some(next))))
        }
    })
}

async fn list_entries(
    db: &Db,
    tenant_id: &TenantId,
    filter: &AuditFilter,
    limit: i64,
) -> Result<Vec<AuditEntry>, DbError> {
    let query = |mut tx: Tx| async move { db::audit_log::list(&mut tx, tenant_id, filter, limit).await };
    Ok(db.read(tenant_id, query).await?.value)
}

fn csv_line(entry: &AuditEntry) -> String {
    let detail = entry.detail.to_string();
    let columns = [&entry.created_at.to_rfc3339(), &entry.actor, &entry.action, &detail];
    columns.map(|column| csv_cell(column)).join(",") + "\r\n"
}

/// Quotes a CSV cell.
fn csv_cell(text: &str) -> String {
    // The leading quote stops spreadsheets from evaluating the cell as a formula.
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_cell_is_never_formula() {
        assert_eq!(csv_cell("=1+1"), "\"'=1+1\"");
        assert_eq!(csv_cell(r#"{"a":1}"#), r#""{""a"":1}""#);
    }
}
