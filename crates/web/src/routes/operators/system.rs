//! `GET /operators/system`: what the deployment runs on: keys, limits, and the processes with their versions.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use db::operators::KeyState;
use db::replicas::{ApiFacts, Replica};
use db::{DbError, Tx};

use crate::app::App;
use crate::page::page;
use crate::routes::trouble;
use crate::session::{Operator, SignedIn};
use crate::words;

#[derive(Template)]
#[template(path = "operators/system.html")]
struct System<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    tab: &'static str,
    keys: KeyState,
    rotation_interval: TimeDelta,
    api: Option<ApiFacts>,
    replicas: Vec<Replica>,
}

pub(crate) async fn show(State(app): State<Arc<App>>, Operator(signed_in): Operator) -> Response {
    let looked = |mut tx: Tx| async move {
        let keys = db::operators::keys(&mut tx).await?;
        let api = db::replicas::find_api_facts(&mut tx).await?;
        Ok::<_, DbError>((keys, api, db::replicas::list(&mut tx).await?))
    };
    match signed_in.read_for_all(&app, looked).await {
        Ok((keys, api, replicas)) => {
            let (here, tab, rotation_interval) = ("operators", "system", app.key_rotation_interval);
            let shown = System { signed_in: &signed_in, here, tab, keys, rotation_interval, api, replicas };
            page(StatusCode::OK, &shown)
        }
        Err(error) => trouble(&error),
    }
}

impl System<'_> {
    /// Data keys under the first master key, and all of them: how far a rotation has come.
    fn progress(&self) -> (i64, i64) {
        let masters = &self.keys.masters;
        let under_first = masters.first().map_or(0, |first| first.data_keys);
        (under_first, masters.iter().map(|master| master.data_keys).sum())
    }

    fn is_due(&self) -> bool {
        self.keys.oldest_at.is_some_and(|at| Utc::now() - at > self.rotation_interval)
    }

    fn interval(&self) -> String {
        match (self.rotation_interval.num_days(), self.rotation_interval.num_hours()) {
            (days, hours) if hours == days * 24 => format!("{days} days"),
            (_, hours) => format!("{hours} hours"),
        }
    }

    /// More than one of the same service, as during an upgrade.
    fn versions_differ(&self) -> bool {
        let seen: BTreeSet<_> = self.replicas.iter().map(|one| (&one.service, &one.version)).collect();
        let services: BTreeSet<_> = self.replicas.iter().map(|one| &one.service).collect();
        seen.len() > services.len()
    }

    fn number(&self, count: &i64) -> String {
        words::grouped(*count)
    }

    fn ago(&self, at: &DateTime<Utc>) -> String {
        words::ago(*at)
    }
}
