//! `GET /dashboard/data`: the stored data of the workspace, with export and deletion.

pub(super) mod deletion;
pub(super) mod export;
mod table_labels;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use db::exports::DataExport;
use db::{DbError, Tx};
use models::TenantId;

use crate::auth::{CurrentUser, WorkspaceAdmin};
use crate::format::PageFormat;
use crate::page::render_page;
use crate::routes::responses::{database_error, not_found};
use crate::state::WebState;
use table_labels::table_label;

/// Maximum number of exports on the page.
const MAX_LISTED_EXPORTS: i64 = 5;

#[derive(Template)]
#[template(path = "data.html")]
struct DataPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    name: String,
    counts: Vec<(&'static str, i64)>,
    exports: Vec<DataExport>,
    /// The typed text, if it was not the workspace's name.
    mistyped: Option<String>,
}

/// The part of the page that refreshes itself.
#[derive(Template)]
#[template(path = "exports.html")]
struct ExportList {
    exports: Vec<DataExport>,
}

pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
) -> Response {
    render_data_page(&app, &signed_in, None).await
}

pub(crate) async fn list_exports(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
) -> Response {
    let exports = async {
        let mut tx = app.db.begin(&signed_in.session.tenant_id).await?;
        db::exports::list(&mut tx, &signed_in.session.tenant_id, MAX_LISTED_EXPORTS).await
    };
    match exports.await {
        Ok(exports) => render_page(StatusCode::OK, &ExportList { exports }),
        Err(error) => database_error(&error),
    }
}

/// Renders the page, with an error if the name was mistyped.
pub(super) async fn render_data_page(
    app: &WebState,
    signed_in: &CurrentUser,
    mistyped: Option<String>,
) -> Response {
    let load = |mut tx: Tx| async move { load_inventory(&mut tx, &signed_in.session.tenant_id).await };
    let status = if mistyped.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match signed_in.read(app, load).await {
        Ok((Some(name), counts, exports)) => {
            render_page(status, &DataPage { signed_in, active_page: "data", name, counts, exports, mistyped })
        }
        Ok((None, ..)) => not_found().await,
        Err(error) => database_error(&error),
    }
}

type Inventory = (Option<String>, Vec<(&'static str, i64)>, Vec<DataExport>);

async fn load_inventory(tx: &mut Tx, tenant_id: &TenantId) -> Result<Inventory, DbError> {
    let name = db::tenants::find_name(tx, tenant_id).await?;
    let counts = db::tenant_data::count_rows(tx, tenant_id).await?;
    Ok((name, counts, db::exports::list(tx, tenant_id, MAX_LISTED_EXPORTS).await?))
}

impl DataPage<'_> {
    fn title(&self, table: &str) -> &'static str {
        table_label(table).0
    }

    fn description(&self, table: &str) -> &'static str {
        table_label(table).1
    }
}
