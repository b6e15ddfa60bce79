//! `POST /dashboard/data/delete`: deletes the workspace's data, on a page that streams the progress.

use std::convert::Infallible;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, HeaderValue};
use axum::response::Response;
use db::tenants::DeletionReceipt;
use db::{Db, DbError};
use futures_util::stream;
use models::{TenantId, UserId};
use serde::Deserialize;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::render_data_page;
use super::table_labels::table_label;
use crate::auth::{ConfirmedAdmin, CurrentUser};
use crate::page::render_page;
use crate::routes::responses::database_error;
use crate::state::WebState;

/// Maximum number of attempts: a deletion may deadlock with workers, and Postgres then aborts one of them.
const MAX_DELETE_ATTEMPTS: usize = 5;

/// The place in the page where the progress is inserted.
const STREAM_MARKER: &str = "<!--more-->";

#[derive(Deserialize)]
pub(crate) struct DeletionForm {
    workspace: String,
}

/// The page around the progress.
#[derive(Template)]
#[template(path = "deletion.html")]
struct DeletionPage<'a> {
    name: &'a str,
}

/// The progress line of a deleted table.
#[derive(Template)]
#[template(source = "<li data-testid=\"step\">{{ title }} <b>{{ rows }}</b></li>\n", ext = "html")]
struct DeletionStep {
    title: &'static str,
    rows: u64,
}

/// The end of the page: the receipt, or an error.
#[derive(Template)]
#[template(path = "deletion_end.html")]
struct DeletionOutcome<'a> {
    tenant_id: &'a TenantId,
    remove_url: String,
    /// The receipt; `None` if nothing was deleted.
    receipt: Option<DeletionReceipt>,
}

pub(crate) async fn delete(
    State(app): State<Arc<WebState>>,
    ConfirmedAdmin(signed_in): ConfirmedAdmin,
    form: Result<Form<DeletionForm>, FormRejection>,
) -> Response {
    let typed = form.map(|Form(form)| form.workspace).unwrap_or_default();
    match find_workspace_name(&app.db, &signed_in).await {
        Ok(Some(name)) if name == typed.trim() => stream_deletion(app, signed_in, &name),
        Ok(_) => render_data_page(&app, &signed_in, Some(typed)).await,
        Err(error) => database_error(&error),
    }
}

async fn find_workspace_name(db: &Db, signed_in: &CurrentUser) -> Result<Option<String>, DbError> {
    db::tenants::find_name(&mut db.begin(&signed_in.session.tenant_id).await?, &signed_in.session.tenant_id)
        .await
}

/// Deletes in a task of its own, so that closing the page does not stop it.
fn stream_deletion(app: Arc<WebState>, signed_in: CurrentUser, name: &str) -> Response {
    let page = DeletionPage { name };
    let mut response = render_page(StatusCode::OK, &page);
    let html = page.render().unwrap_or_default();
    let [head, middle, foot] = {
        let mut parts = html.split(STREAM_MARKER).map(str::to_owned);
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    };
    let (sender, mut receiver) = unbounded_channel();
    let _ = sender.send(head);
    tokio::spawn(async move {
        let outcome = delete_and_render(&app, &signed_in, &sender).await.render().unwrap_or_default();
        let _ = sender.send([middle, outcome, foot].concat());
    });
    let chunks = stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|chunk| chunk.map(Ok::<_, Infallible>))
    });
    *response.body_mut() = Body::from_stream(chunks);
    // Compression would buffer the page until its end.
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
    response
}

async fn delete_and_render<'a>(
    app: &WebState,
    signed_in: &'a CurrentUser,
    sender: &UnboundedSender<String>,
) -> DeletionOutcome<'a> {
    let (tenant_id, user_id) = (&signed_in.session.tenant_id, &signed_in.session.user_id);
    let remove_url = format!("{}/apps/manage?team={tenant_id}", app.slack_base_url);
    let receipt = match delete_with_retries(&app.db, tenant_id, user_id, sender).await {
        Ok(receipt) => receipt,
        Err(error) => {
            tracing::error!(tenant_id = %tenant_id, error = %error, "workspace deletion failed");
            None
        }
    };
    DeletionOutcome { tenant_id, remove_url, receipt }
}

async fn delete_with_retries(
    db: &Db,
    tenant_id: &TenantId,
    user_id: &UserId,
    sender: &UnboundedSender<String>,
) -> Result<Option<DeletionReceipt>, DbError> {
    let mut attempts = 1;
    loop {
        match try_delete(db, tenant_id, user_id, sender).await {
            Err(error) if error.is_deadlock() && attempts < MAX_DELETE_ATTEMPTS => attempts += 1,
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    tracing::info!(tenant_id = %tenant_id, user_id = %user_id, "workspace deleted");
    let mut tx = db.begin(tenant_id).await?;
    // Rows that arrived during the deletion.
    db::tenants::delete_orphans(&mut tx, tenant_id).await?;
    let receipt = db::tenants::list_receipts(&mut tx, tenant_id).await?.pop();
    tx.commit().await?;
    Ok(receipt)
}

async fn try_delete(
    db: &Db,
    tenant_id: &TenantId,
    user_id: &UserId,
    sender: &UnboundedSender<String>,
) -> Result<(), DbError> {
    let mut tx = db.begin(tenant_id).await?;
    db::tenants::lock_threads(&mut tx, tenant_id).await?;
    if db::tenants::lock(&mut tx, tenant_id).await? {
        let reason = format!("requested by {user_id} on the dashboard");
        let on_progress = |table: &'static str, rows| {
            let step = DeletionStep { title: table_label(table).0, rows };
            let _ = sender.send(step.render().unwrap_or_default());
        };
        let deletion = db::tenants::delete_with_progress(&mut tx, tenant_id, &reason, on_progress).await?;
        db::tenants::write_receipt(&mut tx, tenant_id, &deletion).await?;
    }
    tx.commit().await
}

impl DeletionOutcome<'_> {
    fn pretty(&self, receipt: &DeletionReceipt) -> String {
        format!("{:#}", receipt.statement)
    }

    fn signature(&self, receipt: &DeletionReceipt) -> String {
        hex::encode(&receipt.signature.tag)
    }
}
