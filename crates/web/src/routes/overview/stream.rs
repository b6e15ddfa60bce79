//! `GET /dashboard/live`: tells the page when the overview has changed, so that it reloads.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use db::{DbError, Tx};
use futures_util::stream;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::cache::OVERVIEW_CACHE_TTL;
use crate::auth::CurrentUser;
use crate::auth::streams::SessionStream;
use crate::state::WebState;
use crate::stream_limits::StreamKind;

/// Interval between checks for changes.
const OVERVIEW_POLL_INTERVAL: Duration = Duration::from_secs(3);

/// Lifetime of a stream. The browser then reconnects.
const MAX_STREAM_DURATION: Duration = Duration::from_secs(600);

/// A watcher for one browser.
struct OverviewWatcher {
    app: Arc<WebState>,
    signed_in: CurrentUser,
    stream: SessionStream,
    since: Instant,
    last_version: Option<String>,
}

/// The version of the data that the page shows.
#[derive(Default, Deserialize)]
pub(crate) struct OverviewStreamQuery {
    since: Option<String>,
}

pub(crate) async fn stream_updates(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    query: Result<Query<OverviewStreamQuery>, QueryRejection>,
) -> Response {
    let stream = match SessionStream::begin(&app, &signed_in, StreamKind::Live) {
        Ok(stream) => stream,
        Err(refusal) => return refusal,
    };
    let last_version = query.map(|Query(query)| query.since).unwrap_or_default();
    let watcher = OverviewWatcher { app, signed_in, stream, since: Instant::now(), last_version };
    let events = stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next_event().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

impl OverviewWatcher {
    /// Waits for the next change; `None` at the end of the stream's lifetime or of the session, or on shutdown.
    async fn next_event(&mut self) -> Option<Event> {
        while self.since.elapsed() < MAX_STREAM_DURATION {
            if let Ok(false) = self.stream.is_active().await {
                return None;
            }
            // Without a version in the query, the page is assumed to show the current data.
            let is_first = self.last_version.is_none();
            if let Ok(version) = self.read_version().await
                && self.last_version.as_ref() != Some(&version)
            {
                self.last_version = Some(version);
                if !is_first {
                    // Until the cached overview expires, the page would get the old data.
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
        let query = |mut tx: Tx| async move {
            db::overview::load_version(&mut tx, &session.tenant_id, user_id).await
        };
        self.signed_in.read(&self.app, query).await
    }
}
