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

use crate::app::App;
use crate::overviews::TOLD_FOR;
use crate::session::SignedIn;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(3);

/// Then the browser comes again, with whatever its session is worth by then.
const LONGEST: Duration = Duration::from_secs(600);

/// What one browser is told.
struct Listener {
    app: Arc<App>,
    signed_in: SignedIn,
    since: Instant,
    last: Option<String>,
}

/// What stands on the page by now.
#[derive(Default, Deserialize)]
pub(crate) struct Asked {
    since: Option<String>,
}

pub(crate) async fn listen(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, QueryRejection>,
) -> impl IntoResponse {
    let last = asked.map(|Query(asked)| asked.since).unwrap_or_default();
    let listener = Listener { app, signed_in, since: Instant::now(), last };
    let news = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    Sse::new(news).keep_alive(KeepAlive::default())
}

impl Listener {
    /// The next news; `None` once it has lasted long enough, or the service ends.
    async fn next(&mut self) -> Option<Event> {
        while self.since.elapsed() < LONGEST {
            // Who does not say what stands on the page has what there is by now.
            let is_first = self.last.is_none();
            if let Ok(mark) = self.look().await
                && self.last.as_ref() != Some(&mark)
            {
                self.last = Some(mark);
                if !is_first {
                    // Else the page might be told once more what was told before.
                    self.app.shutdown.run_until_cancelled(sleep(TOLD_FOR)).await?;
                    return Some(Event::default().data("new"));
                }
            }
            self.app.shutdown.run_until_cancelled(sleep(LOOK)).await?;
        }
        None
    }

    async fn look(&self) -> Result<String, DbError> {
        let session = &self.signed_in.session;
        let user_id = (!self.signed_in.manages).then_some(&session.user_id);
        let ask = |mut tx: Tx| async move { db::overview::mark(&mut tx, &session.tenant_id, user_id).await };
        self.signed_in.read(&self.app, ask).await
    }
}
