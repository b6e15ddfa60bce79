//! `GET /dashboard/data`: what is stored of the workspace, the way out for it, and its end.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use db::exports::Export;
use db::{DbError, Tx};
use models::TenantId;

use super::{landing, trouble};
use crate::app::App;
use crate::page::page;
use crate::session::{Manager, SignedIn};
use crate::words::grouped;

/// Downloads that are told of.
const DOWNLOADS: i64 = 5;

/// A table, as people call what it holds, and what that is.
type Words = (&'static str, &'static str, &'static str);

const WORDS: [Words; 22] = [
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
pub(super) fn words(table: &str) -> (&'static str, &'static str) {
    let found = WORDS.iter().find(|(known, ..)| *known == table);
    found.map_or(("More", ""), |(_, title, what)| (*title, *what))
}

#[derive(Template)]
#[template(path = "data.html")]
struct Data<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    name: String,
    counts: Vec<(&'static str, i64)>,
    exports: Vec<Export>,
    /// What somebody typed that is not the workspace's name.
    mistyped: Option<String>,
}

/// The part of the page that moves.
#[derive(Template)]
#[template(path = "exports.html")]
struct Exports {
    exports: Vec<Export>,
}

pub(crate) async fn show(State(app): State<Arc<App>>, Manager(signed_in): Manager) -> Response {
    render(&app, &signed_in, None).await
}

pub(crate) async fn exports(State(app): State<Arc<App>>, Manager(signed_in): Manager) -> Response {
    let listed = async {
        let mut tx = app.db.begin(&signed_in.session.tenant_id).await?;
        db::exports::list(&mut tx, &signed_in.session.tenant_id, DOWNLOADS).await
    };
    match listed.await {
        Ok(exports) => page(StatusCode::OK, &Exports { exports }),
        Err(error) => trouble(&error),
    }
}

/// The page, also where the name was not typed as it is.
pub(super) async fn render(app: &App, signed_in: &SignedIn, mistyped: Option<String>) -> Response {
    let looked = |mut tx: Tx| async move { look(&mut tx, &signed_in.session.tenant_id).await };
    let status = if mistyped.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match signed_in.read(app, looked).await {
        Ok((Some(name), counts, exports)) => {
            page(status, &Data { signed_in, here: "data", name, counts, exports, mistyped })
        }
        Ok((None, ..)) => landing::not_found().await,
        Err(error) => trouble(&error),
    }
}

type Looked = (Option<String>, Vec<(&'static str, i64)>, Vec<Export>);

async fn look(tx: &mut Tx, tenant_id: &TenantId) -> Result<Looked, DbError> {
    let name = db::tenants::find_name(tx, tenant_id).await?;
    let counts = db::stored::count(tx, tenant_id).await?;
    Ok((name, counts, db::exports::list(tx, tenant_id, DOWNLOADS).await?))
}

impl Data<'_> {
    fn title(&self, table: &str) -> &'static str {
        words(table).0
    }

    fn what(&self, table: &str) -> &'static str {
        words(table).1
    }

    fn number(&self, count: &i64) -> String {
        grouped(*count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_told_in_words() {
        for table in db::stored::TABLES {
            assert_ne!(words(table).0, "More", "{table}");
        }
    }
}
