//! `GET /operators/tenants/{tenant_id}`: one workspace, its troubles, and what an operator may do about it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use db::operators::{SetAside, TenantFacts};
use db::overview::Traffic;
use db::{DbError, Tx};
use models::TenantId;
use slack::Scope;

use super::state;
use crate::app::App;
use crate::page::page;
use crate::routes::{not_found, trouble};
use crate::session::{Operator, SignedIn};
use crate::words;

/// Events that are shown of those that were set aside.
const LIMIT: i64 = 10;

#[derive(Template)]
#[template(path = "operators/tenant.html")]
struct Tenant<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    /// Where the deeds of this page lead back to.
    back: &'static str,
    facts: TenantFacts,
    traffic: Traffic,
    set_aside: Vec<SetAside>,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Operator(signed_in): Operator,
    Path(tenant_id): Path<String>,
) -> Response {
    let tenant_id = &TenantId::new(tenant_id);
    let found = |mut tx: Tx| async move {
        let Some(facts) = db::operators::find_tenant(&mut tx, tenant_id).await? else { return Ok(None) };
        let traffic = db::overview::traffic(&mut tx, tenant_id).await?;
        let set_aside = db::operators::list_set_aside(&mut tx, Some(tenant_id), LIMIT).await?;
        Ok::<_, DbError>(Some((facts, traffic, set_aside)))
    };
    match signed_in.read_of(&app, tenant_id, found).await {
        Ok(Some((facts, traffic, set_aside))) => {
            let (here, back) = ("operators", "tenant");
            let shown = Tenant { signed_in: &signed_in, here, back, facts, traffic, set_aside };
            page(StatusCode::OK, &shown)
        }
        Ok(None) => not_found().await,
        Err(error) => trouble(&error),
    }
}

impl Tenant<'_> {
    fn state(&self) -> (&'static str, &'static str) {
        let TenantFacts { suspended_reason, disabled_reason, delete_after, installed_at, .. } = &self.facts;
        state(suspended_reason, disabled_reason, delete_after, installed_at)
    }

    fn missing(&self) -> Vec<Scope> {
        self.facts.scopes.as_deref().map(slack::missing_scopes).unwrap_or_default()
    }

    fn number(&self, count: &i64) -> String {
        words::grouped(*count)
    }

    fn ago(&self, at: &DateTime<Utc>) -> String {
        words::ago(*at)
    }
}
