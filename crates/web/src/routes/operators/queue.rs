//! `GET /operators/queue`: what waits, whose it is, and what was given up.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use db::events::QueueState;
use db::operators::{DeadLetter, QueueStats, TenantBacklog};
use db::{DbError, Tx};

use crate::auth::{CurrentUser, Operator};
use crate::format;
use crate::page::render_page;
use crate::routes::database_error;
use crate::state::WebState;

/// Tenants that are shown of those of whom something waits.
const MAX_WAITING_TENANTS: i64 = 50;

/// Events that are shown of those that were set aside.
const MAX_DEAD_LETTER_ROWS: i64 = 100;

#[derive(Template)]
#[template(path = "operators/queue.html")]
struct QueuePage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    tab: &'static str,
    /// Where the deeds of this page lead back to.
    back: &'static str,
    snapshot: QueueSnapshot,
}

struct QueueSnapshot {
    state: QueueState,
    stats: QueueStats,
    waiting: Vec<TenantBacklog>,
    dead_letters: Vec<DeadLetter>,
}

pub(crate) async fn show(State(app): State<Arc<WebState>>, Operator(signed_in): Operator) -> Response {
    match load_queue(&app, &signed_in).await {
        Ok(look) => {
            let (here, tab, back) = ("operators", "queue", "queue");
            render_page(
                StatusCode::OK,
                &QueuePage { signed_in: &signed_in, active_page: here, tab, back, snapshot: look },
            )
        }
        Err(error) => database_error(&error),
    }
}

async fn load_queue(app: &WebState, signed_in: &CurrentUser) -> Result<QueueSnapshot, DbError> {
    let read = |mut tx: Tx| async move {
        Ok::<_, DbError>(QueueSnapshot {
            state: db::events::queue_state(&mut tx).await?,
            stats: db::operators::load_queue_stats(&mut tx).await?,
            waiting: db::operators::list_backlogs(&mut tx, MAX_WAITING_TENANTS).await?,
            dead_letters: db::operators::list_dead_letters(&mut tx, None, MAX_DEAD_LETTER_ROWS).await?,
        })
    };
    signed_in.read_cross_tenant(app, read).await
}

impl QueuePage<'_> {
    fn number(&self, count: &i64) -> String {
        format::grouped(*count)
    }

    fn oldest(&self) -> String {
        format::seconds((self.snapshot.state.depth > 0).then_some(self.snapshot.state.oldest_seconds))
    }

    fn ago(&self, at: &DateTime<Utc>) -> String {
        format::ago(*at)
    }
}
