//! `GET /operators/queue`: the queue by tenant, and dead letters.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use db::events::QueueState;
use db::operators::{DeadLetter, QueueStats, TenantBacklog};
use db::{DbError, Tx};

use crate::auth::{CurrentUser, Operator};
use crate::format::{self, PageFormat};
use crate::page::render_page;
use crate::routes::responses::database_error;
use crate::state::WebState;

/// Maximum number of tenants with queued events on the page.
const MAX_WAITING_TENANTS: i64 = 50;

/// Maximum number of dead letters on the page.
const MAX_DEAD_LETTER_ROWS: i64 = 100;

#[derive(Template)]
#[template(path = "operators/queue.html")]
struct QueuePage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    tab: &'static str,
    /// The page that actions return to.
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
        Ok(snapshot) => {
            let (here, tab, back) = ("operators", "queue", "queue");
            render_page(
                StatusCode::OK,
                &QueuePage { signed_in: &signed_in, active_page: here, tab, back, snapshot },
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
    fn oldest(&self) -> String {
        format::seconds((self.snapshot.state.depth > 0).then_some(self.snapshot.state.oldest_seconds))
    }
}
