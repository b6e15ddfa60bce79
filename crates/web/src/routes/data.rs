//! `GET /dashboard/data`: what is stored of the workspace, the way out for it, and its end.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use db::exports::DataExport;
use db::{DbError, Tx};
use models::TenantId;

use super::{database_error, landing};
use crate::auth::{CurrentUser, WorkspaceAdmin};
use crate::format::grouped;
use crate::page::render_page;
use crate::state::WebState;

/// Downloads that are told of.
const MAX_LISTED_EXPORTS: i64 = 5;

/// A table, as people call what it holds, and what that is.
type TableLabel = (&'static str, &'static str, &'static str);

const TABLE_LABELS: [TableLabel; 22] = [
    ("tenants", "Workspace", "Its name, and since when it is here."),
    (
        "installations",
        "Installation",
        "Who added the bot, what it may do, and its token, which never leaves.",
    ),
    ("team_access", "Workspaces of the organisation", "Into which of them the bot was let."),
    ("people", "People", "Names as Slack tells them, of those who wrote to the bot."),
    ("settings", "Settings", "How the bot is set here. A key for the model never leaves."),
    (
        "api_keys",
        "API keys",
        "Who made one and for what. Of a key itself only a digest is stored, which never leaves.",
    ),
    ("chat_leases", "API answers in work", "Which conversations of the API are being answered just now."),
    ("channels", "Channels", "What was set for one."),
    ("turns", "Conversations", "What people asked and what was answered: the bot's memory."),
    ("usage", "Usage", "What each answer cost, in the model's own count."),
    ("reservations", "Money that is held", "What answers in work may cost at their worst."),
    ("feedback", "Feedback", "Thumbs up and down."),
    (
        "events",
        "Events",
        "What Slack sent and what became of it. The words in it are kept until it is answered.",
    ),
    (
        "event_history",
        "Past events",
        "What became of what Slack sent more than two days ago; without the words.",
    ),
    (
        "ignored_events",
        "Ignored events",
        "What nothing was done about, and why; for a week, without the words.",
    ),
    ("threads", "Threads", "Where the bot takes part."),
    ("replies", "Answers in work", "How far each has come."),
    ("audit_log", "Audit log", "Who did what. It stays after a deletion, and holds ids and counts only."),
    (
        "audit_chains",
        "The audit log's end",
        "How long the log is, and its last digest, so that nobody cuts it short.",
    ),
    ("exports", "Downloads", "Who took a copy of all this."),
    ("sessions", "Sign-ins", "Who is signed in to this dashboard. They are not part of a download."),
    ("encryption_keys", "Keys", "What all of the above is sealed with. They never leave."),
];

/// What people call a table, and what it holds.
pub(super) fn table_label(table: &str) -> (&'static str, &'static str) {
    let found = TABLE_LABELS.iter().find(|(known, ..)| *known == table);
    found.map_or(("More", ""), |(_, title, what)| (*title, *what))
}

#[derive(Template)]
#[template(path = "data.html")]
struct DataPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    name: String,
    counts: Vec<(&'static str, i64)>,
    exports: Vec<DataExport>,
    /// What somebody typed that is not the workspace's name.
    mistyped: Option<String>,
}

/// The part of the page that moves.
#[derive(Template)]
#[template(path = "exports.html")]
struct ExportList {
    exports: Vec<DataExport>,
}

pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
) -> Response {
    render_data_page(&app, &signed_in, None).await
}

pub(crate) async fn list_exports(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
) -> Response {
    let listed = async {
        let mut tx = app.db.begin(&signed_in.session.tenant_id).await?;
        db::exports::list(&mut tx, &signed_in.session.tenant_id, MAX_LISTED_EXPORTS).await
    };
    match listed.await {
        Ok(exports) => render_page(StatusCode::OK, &ExportList { exports }),
        Err(error) => database_error(&error),
    }
}

/// The page, also where the name was not typed as it is.
pub(super) async fn render_data_page(
    app: &WebState,
    signed_in: &CurrentUser,
    mistyped: Option<String>,
) -> Response {
    let looked = |mut tx: Tx| async move { load_inventory(&mut tx, &signed_in.session.tenant_id).await };
    let status = if mistyped.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match signed_in.read(app, looked).await {
        Ok((Some(name), counts, exports)) => {
            render_page(status, &DataPage { signed_in, active_page: "data", name, counts, exports, mistyped })
        }
        Ok((None, ..)) => landing::not_found().await,
        Err(error) => database_error(&error),
    }
}

type Inventory = (Option<String>, Vec<(&'static str, i64)>, Vec<DataExport>);

async fn load_inventory(tx: &mut Tx, tenant_id: &TenantId) -> Result<Inventory, DbError> {
    let name = db::tenants::find_name(tx, tenant_id).await?;
    let counts = db::tenant_data::count_rows(tx, tenant_id).await?;
    Ok((name, counts, db::exports::list(tx, tenant_id, MAX_LISTED_EXPORTS).await?))
}

impl DataPage<'_> {
    fn title(&self, table: &str) -> &'static str {
        table_label(table).0
    }

    fn description(&self, table: &str) -> &'static str {
        table_label(table).1
    }

    fn number(&self, count: &i64) -> String {
        grouped(*count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_label() {
        for table in db::tenant_data::TENANT_TABLES {
            assert_ne!(table_label(table).0, "More", "{table}");
        }
    }
}
