//! `GET /dashboard/live`: says when there is something new for the overview, which the page then loads.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use db::{DbError, Tx};
use futures_util::stream;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::auth::CurrentUser;
use crate::overview_cache::OVERVIEW_CACHE_TTL;
use crate::state::WebState;

/// Between two looks.
const OVERVIEW_POLL_INTERVAL: Duration = Duration::from_secs(3);

/// Then the browser comes again, with whatever its session is worth by then.
const MAX_STREAM_DURATION: Duration = Duration::from_secs(600);

/// What one browser is told.
struct OverviewWatcher {
    app: Arc<WebState>,
    signed_in: CurrentUser,
    since: Instant,
    last_version: Option<String>,
}

/// What stands on the page by now.
#[derive(Default, Deserialize)]
pub(crate) struct OverviewStreamQuery {
    since: Option<String>,
}

pub(crate) async fn stream_updates(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    asked: Result<Query<OverviewStreamQuery>, QueryRejection>,
) -> impl IntoResponse {
    let last = asked.map(|Query(asked)| asked.since).unwrap_or_default();
    let listener = OverviewWatcher { app, signed_in, since: Instant::now(), last_version: last };
    let news = stream::unfold(listener, |mut listener| async move {
        let event = listener.next_event().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    Sse::new(news).keep_alive(KeepAlive::default())
}

impl OverviewWatcher {
    /// The next news; `None` once it has lasted long enough, or the service ends.
    async fn next_event(&mut self) -> Option<Event> {
        while self.since.elapsed() < MAX_STREAM_DURATION {
            // Who does not say what stands on the page has what there is by now.
            let is_first = self.last_version.is_none();
            if let Ok(mark) = self.read_version().await
                && self.last_version.as_ref() != Some(&mark)
            {
                self.last_version = Some(mark);
                if !is_first {
                    // Else the page might be told once more what was told before.
                    self.app.shutdown.run_until_cancelled(sleep(OVERVIEW_CACHE_TTL)).await?;
                    return Some(Event::default().data("new"));
                }
            }
            self.app.shutdown.run_until_cancelled(sleep(OVERVIEW_POLL_INTERVAL)).await?;
        }
        None
    }

    async fn read_version(&self) -> Result<String, DbError> {
        let session = &self.signed_in.session;
        let user_id = (!self.signed_in.is_admin).then_some(&session.user_id);
        let ask = |mut tx: Tx| async move {
            db::overview::load_version(&mut tx, &session.tenant_id, user_id).await
        };
        self.signed_in.read(&self.app, ask).await
    }
}
