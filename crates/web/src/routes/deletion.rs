//! `POST /dashboard/data/delete`: everything of the workspace goes, on a page that tells while it is done.

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

use super::{data, database_error};
use crate::auth::{CurrentUser, WorkspaceAdmin};
use crate::page::render_page;
use crate::state::WebState;

/// Workers that answer just now may cross a deletion; then Postgres ends one of the two.
const MAX_DELETE_ATTEMPTS: usize = 5;

/// Where the page waits for what there is to tell.
const STREAM_MARKER: &str = "<!--more-->";

#[derive(Deserialize)]
pub(crate) struct DeletionForm {
    workspace: String,
}

/// The page around it.
#[derive(Template)]
#[template(path = "deletion.html")]
struct DeletionPage<'a> {
    name: &'a str,
}

/// A table that is done.
#[derive(Template)]
#[template(source = "<li data-testid=\"step\">{{ title }} <b>{{ rows }}</b></li>\n", ext = "html")]
struct DeletionStep {
    title: &'static str,
    rows: u64,
}

/// How it ended.
#[derive(Template)]
#[template(path = "deletion_end.html")]
struct DeletionOutcome<'a> {
    tenant_id: &'a TenantId,
    remove_url: String,
    /// The receipt, or nothing where nothing was deleted.
    receipt: Option<DeletionReceipt>,
}

pub(crate) async fn delete(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
    typed: Result<Form<DeletionForm>, FormRejection>,
) -> Response {
    let typed = typed.map(|Form(typed)| typed.workspace).unwrap_or_default();
    match find_workspace_name(&app.db, &signed_in).await {
        Ok(Some(name)) if name == typed.trim() => stream_deletion(app, signed_in, &name),
        Ok(_) => data::render_data_page(&app, &signed_in, Some(typed)).await,
        Err(error) => database_error(&error),
    }
}

async fn find_workspace_name(db: &Db, signed_in: &CurrentUser) -> Result<Option<String>, DbError> {
    db::tenants::find_name(&mut db.begin(&signed_in.session.tenant_id).await?, &signed_in.session.tenant_id)
        .await
}

/// Whoever closes the page does not end it: what was begun is done.
fn stream_deletion(app: Arc<WebState>, signed_in: CurrentUser, name: &str) -> Response {
    let around = DeletionPage { name };
    let mut response = render_page(StatusCode::OK, &around);
    let whole = around.render().unwrap_or_default();
    let [head, rest, foot] = {
        let mut parts = whole.split(STREAM_MARKER).map(str::to_owned);
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    };
    let (pieces, mut told) = unbounded_channel();
    let _ = pieces.send(head);
    tokio::spawn(async move {
        let end = delete_and_render(&app, &signed_in, &pieces).await.render().unwrap_or_default();
        let _ = pieces.send([rest, end, foot].concat());
    });
    let told =
        stream::poll_fn(move |context| told.poll_recv(context).map(|piece| piece.map(Ok::<_, Infallible>)));
    *response.body_mut() = Body::from_stream(told);
    // Packed, it would come in one piece at its end.
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
    response
}

async fn delete_and_render<'a>(
    app: &WebState,
    signed_in: &'a CurrentUser,
    pieces: &UnboundedSender<String>,
) -> DeletionOutcome<'a> {
    let (tenant_id, user_id) = (&signed_in.session.tenant_id, &signed_in.session.user_id);
    let remove_url = format!("{}/apps/manage?team={tenant_id}", app.slack_base_url);
    let receipt = match delete_with_retries(&app.db, tenant_id, user_id, pieces).await {
        Ok(receipt) => receipt,
        Err(error) => {
            tracing::error!(tenant_id = %tenant_id, error = %error, "a workspace could not be deleted");
            None
        }
    };
    DeletionOutcome { tenant_id, remove_url, receipt }
}

async fn delete_with_retries(
    db: &Db,
    tenant_id: &TenantId,
    user_id: &UserId,
    pieces: &UnboundedSender<String>,
) -> Result<Option<DeletionReceipt>, DbError> {
    let mut tries = 1;
    loop {
        match try_delete(db, tenant_id, user_id, pieces).await {
            Err(error) if error.is_deadlock() && tries < MAX_DELETE_ATTEMPTS => tries += 1,
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    tracing::info!(tenant_id = %tenant_id, user_id = %user_id, "everything of the workspace was deleted");
    let mut tx = db.begin(tenant_id).await?;
    // What came while it went.
    db::tenants::delete_orphans(&mut tx, tenant_id).await?;
    let receipt = db::tenants::list_receipts(&mut tx, tenant_id).await?.pop();
    tx.commit().await?;
    Ok(receipt)
}

async fn try_delete(
    db: &Db,
    tenant_id: &TenantId,
    user_id: &UserId,
    pieces: &UnboundedSender<String>,
) -> Result<(), DbError> {
    let mut tx = db.begin(tenant_id).await?;
    db::tenants::lock_threads(&mut tx, tenant_id).await?;
    if db::tenants::lock(&mut tx, tenant_id).await? {
        let reason = format!("asked for by {user_id} on the dashboard");
        let tell = |table: &'static str, rows| {
            let step = DeletionStep { title: data::table_label(table).0, rows };
            let _ = pieces.send(step.render().unwrap_or_default());
        };
        let deletion = db::tenants::delete_with_progress(&mut tx, tenant_id, &reason, tell).await?;
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
