//! `GET /operators`: who uses the bot, how many come, and who has trouble.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::operators::{Census, TenantLine};
use db::{DbError, Tx};
use serde::Deserialize;

use super::growth::{self, Picture};
use super::state;
use crate::app::App;
use crate::page::page;
use crate::routes::{filled, trouble};
use crate::session::{Operator, SignedIn};
use crate::words;

/// Tenants on a page.
const LIMIT: i64 = 100;

/// What the form asks for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    search: String,
    /// From 0.
    page: u32,
}

#[derive(Template)]
#[template(path = "operators/tenants.html")]
struct Tenants<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    tab: &'static str,
    asked: Asked,
    census: Census,
    picture: Picture,
    tenants: Vec<TenantLine>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Operator(signed_in): Operator,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    match look(&app, &signed_in, &asked).await {
        Ok((census, picture, tenants)) => {
            let (here, tab) = ("operators", "tenants");
            let shown = Tenants { signed_in: &signed_in, here, tab, asked, census, picture, tenants };
            page(StatusCode::OK, &shown)
        }
        Err(error) => trouble(&error),
    }
}

async fn look(
    app: &App,
    signed_in: &SignedIn,
    asked: &Asked,
) -> Result<(Census, Picture, Vec<TenantLine>), DbError> {
    let (search, skip) = (filled(&asked.search), i64::from(asked.page) * LIMIT);
    let search = search.as_deref();
    let read = |mut tx: Tx| async move {
        let census = db::operators::census(&mut tx).await?;
        let growth = db::operators::growth(&mut tx, growth::DAYS, growth::STEP).await?;
        let tenants = db::operators::list_tenants(&mut tx, search, skip, LIMIT).await?;
        Ok::<_, DbError>((census, Picture::draw(&growth), tenants))
    };
    signed_in.read_for_all(app, read).await
}

impl Tenants<'_> {
    fn state(&self, tenant: &TenantLine) -> (&'static str, &'static str) {
        let TenantLine { suspended_reason, disabled_reason, delete_after, installed_at, .. } = tenant;
        state(suspended_reason, disabled_reason, delete_after, installed_at)
    }

    fn number(&self, count: &i64) -> String {
        words::grouped(*count)
    }

    /// The address of another page of the same list, if there is one.
    fn other(&self, back: bool) -> Option<String> {
        let is_full = i64::try_from(self.tenants.len()).is_ok_and(|count| count == LIMIT);
        let page = match back {
            true => self.asked.page.checked_sub(1),
            false => self.asked.page.checked_add(1).filter(|_| is_full),
        }?;
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("search", &self.asked.search).append_pair("page", &page.to_string());
        Some(format!("/operators?{}", query.finish()))
    }
}
