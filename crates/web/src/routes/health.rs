//! `GET /dashboard/health`: whether the bot can do its work in this workspace, and what to do where it cannot.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use db::installations::Installed;
use db::overview::Traffic;
use db::{DbError, Tx};
use slack::Scope;

use super::{landing, trouble};
use crate::app::App;
use crate::page::page;
use crate::session::{Manager, SignedIn};
use crate::words;

#[derive(Template)]
#[template(path = "health.html")]
struct Health<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    installed: Installed,
    missing: Vec<Scope>,
    traffic: Traffic,
}

pub(crate) async fn show(State(app): State<Arc<App>>, Manager(signed_in): Manager) -> Response {
    let tenant_id = &signed_in.session.tenant_id;
    let looked = |mut tx: Tx| async move {
        let installed = db::installations::find(&mut tx, tenant_id).await?;
        Ok::<_, DbError>((installed, db::overview::traffic(&mut tx, tenant_id).await?))
    };
    match signed_in.read(&app, looked).await {
        Ok((Some(installed), traffic)) => {
            let missing = slack::missing_scopes(&installed.installation.scopes);
            page(
                StatusCode::OK,
                &Health { signed_in: &signed_in, here: "health", installed, missing, traffic },
            )
        }
        Ok((None, _)) => landing::not_found().await,
        Err(error) => trouble(&error),
    }
}

impl Health<'_> {
    /// A token that rotates ends twice a day, and is replaced hours before.
    fn token_is_ending(&self) -> bool {
        self.installed.token_expires_at.is_some_and(|end| end < Utc::now() + TimeDelta::minutes(30))
    }

    fn is_well(&self) -> bool {
        let Installed { disabled_reason, problem, .. } = &self.installed;
        disabled_reason.is_none() && problem.is_none() && self.missing.is_empty() && !self.token_is_ending()
    }

    fn ago(&self, at: &DateTime<Utc>) -> String {
        words::ago(*at)
    }
}
