//! `GET /operators/system`: keys, limits, and running instances with their versions.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{TimeDelta, Utc};
use db::instances::{ApiFacts, Instance};
use db::operators::KeyState;
use db::{DbError, Tx};

use crate::auth::{CurrentUser, Operator};
use crate::format::PageFormat;
use crate::page::render_page;
use crate::routes::responses::database_error;
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
    let load = |mut tx: Tx| async move {
        let keys = db::operators::load_key_state(&mut tx).await?;
        let api = db::instances::find_api_facts(&mut tx).await?;
        Ok::<_, DbError>((keys, api, db::instances::list(&mut tx).await?))
    };
    match signed_in.read_cross_tenant(&app, load).await {
        Ok((keys, api, replicas)) => {
            let (active_page, tab, rotation_interval) = ("operators", "system", app.key_rotation_interval);
            let signed_in = &signed_in;
            let page = SystemPage { signed_in, active_page, tab, keys, rotation_interval, api, replicas };
            render_page(StatusCode::OK, &page)
        }
        Err(error) => database_error(&error),
    }
}

impl SystemPage<'_> {
    /// Returns the number of data keys under the first master key, and of all data keys.
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

    /// Returns true if a service runs with several versions, as during an upgrade.
    fn has_mixed_versions(&self) -> bool {
        let versions: BTreeSet<_> = self.replicas.iter().map(|it| (&it.service, &it.version)).collect();
        let services: BTreeSet<_> = self.replicas.iter().map(|it| &it.service).collect();
        versions.len() > services.len()
    }
}
