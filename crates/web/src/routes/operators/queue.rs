//! `GET /operators/queue`: what waits, whose it is, and what was given up.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use db::events::QueueState;
use db::operators::{Line, SetAside, Waiting};
use db::{DbError, Tx};

use crate::app::App;
use crate::page::page;
use crate::routes::trouble;
use crate::session::{Operator, SignedIn};
use crate::words;

/// Tenants that are shown of those of whom something waits.
const TENANTS: i64 = 50;

/// Events that are shown of those that were set aside.
const LIMIT: i64 = 100;

#[derive(Template)]
#[template(path = "operators/queue.html")]
struct Queue<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    tab: &'static str,
    /// Where the deeds of this page lead back to.
    back: &'static str,
    look: Look,
}

struct Look {
    state: QueueState,
    line: Line,
    waiting: Vec<Waiting>,
    set_aside: Vec<SetAside>,
}

pub(crate) async fn show(State(app): State<Arc<App>>, Operator(signed_in): Operator) -> Response {
    match look(&app, &signed_in).await {
        Ok(look) => {
            let (here, tab, back) = ("operators", "queue", "queue");
            page(StatusCode::OK, &Queue { signed_in: &signed_in, here, tab, back, look })
        }
        Err(error) => trouble(&error),
    }
}

async fn look(app: &App, signed_in: &SignedIn) -> Result<Look, DbError> {
    let read = |mut tx: Tx| async move {
        Ok::<_, DbError>(Look {
            state: db::events::queue_state(&mut tx).await?,
            line: db::operators::line(&mut tx).await?,
            waiting: db::operators::list_waiting(&mut tx, TENANTS).await?,
            set_aside: db::operators::list_set_aside(&mut tx, None, LIMIT).await?,
        })
    };
    signed_in.read_for_all(app, read).await
}

impl Queue<'_> {
    fn number(&self, count: &i64) -> String {
        words::grouped(*count)
    }

    fn oldest(&self) -> String {
        words::seconds((self.look.state.depth > 0).then_some(self.look.state.oldest_seconds))
    }

    fn ago(&self, at: &DateTime<Utc>) -> String {
        words::ago(*at)
    }
}
