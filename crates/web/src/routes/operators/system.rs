//! `GET /operators/system`: what the deployment runs on: keys, limits, and the processes with their versions.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use db::instances::{ApiFacts, Instance};
use db::operators::KeyState;
use db::{DbError, Tx};

use crate::auth::{CurrentUser, Operator};
use crate::format;
use crate::page::render_page;
use crate::routes::database_error;
use crate::state::WebState;

#[derive(Template)]
#[template(path = "operators/system.html")]
struct SystemPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    tab: &'static str,
    keys: KeyState,
    rotation_interval: TimeDelta,
    api: Option<ApiFacts>,
    replicas: Vec<Instance>,
}

pub(crate) async fn show(State(app): State<Arc<WebState>>, Operator(signed_in): Operator) -> Response {
    let looked = |mut tx: Tx| async move {
        let keys = db::operators::load_key_state(&mut tx).await?;
        let api = db::instances::find_api_facts(&mut tx).await?;
        Ok::<_, DbError>((keys, api, db::instances::list(&mut tx).await?))
    };
    match signed_in.read_cross_tenant(&app, looked).await {
        Ok((keys, api, replicas)) => {
            let (here, tab, rotation_interval) = ("operators", "system", app.key_rotation_interval);
            let shown = SystemPage {
                signed_in: &signed_in,
                active_page: here,
                tab,
                keys,
                rotation_interval,
                api,
                replicas,
            };
            render_page(StatusCode::OK, &shown)
        }
        Err(error) => database_error(&error),
    }
}

impl SystemPage<'_> {
    /// Data keys under the first master key, and all of them: how far a rotation has come.
    fn progress(&self) -> (i64, i64) {
        let masters = &self.keys.master_keys;
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
    fn has_mixed_versions(&self) -> bool {
        let seen: BTreeSet<_> = self.replicas.iter().map(|one| (&one.service, &one.version)).collect();
        let services: BTreeSet<_> = self.replicas.iter().map(|one| &one.service).collect();
        seen.len() > services.len()
    }

    fn number(&self, count: &i64) -> String {
        format::grouped(*count)
    }

    fn ago(&self, at: &DateTime<Utc>) -> String {
        format::ago(*at)
    }
}
