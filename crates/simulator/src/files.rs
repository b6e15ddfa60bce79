//! File downloads and uploads outside the Web API.
//! Source: <https://docs.slack.dev/reference/objects/file-object>

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use chrono::Utc;
use serde_json::json;

use crate::fake_slack::{Call, FakeSlack, SlackFile};
use crate::html::html_page;
use crate::state::SimulatorState;

/// Maximum bytes of an upload; test files are small.
const MAX_UPLOAD_BYTES: usize = 64 * 1024 * 1024;

pub(crate) fn routes() -> Router<Arc<SimulatorState>> {
    Router::new()
        .route("/files-pri/{place}/{name}", get(download))
        .route("/files-pri/{place}/download/{name}", get(download))
        .route("/signin", get(async || members_only_page()))
        .route("/upload/v1/{secret}", post(upload).layer(DefaultBodyLimit::max(MAX_UPLOAD_BYTES)))
}

/// Responds to a wrong token with 200 and a sign-in page, as Slack does, and to a missing one with a redirect.
async fn download(
    State(shared): State<Arc<SimulatorState>>,
    Path((place, _)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else {
        let way: String = url::form_urlencoded::byte_serialize(uri.path().as_bytes()).collect();
        return (StatusCode::FOUND, [(header::LOCATION, format!("/signin?redir={way}"))]).into_response();
    };
    let id = place.rsplit_once('-').map_or("", |(_, id)| id);
    let (known, file) = shared.with(|slack| (slack.has_file(id), authorize_download(slack, token, id)));
    match file {
        Some(file) => ([(header::CONTENT_TYPE, file.mimetype)], file.content).into_response(),
        None if known => members_only_page(),
        None => (StatusCode::NOT_FOUND, Html(html_page("<h1>There is no such file</h1>"))).into_response(),
    }
}

/// Returns the file if the token may read it; logs a call of `files-pri`.
fn authorize_download(slack: &mut FakeSlack, token: &str, id: &str) -> Option<SlackFile> {
    let tenant = slack.tokens.authenticate(token).ok().map(str::to_owned);
    let bot = tenant.as_ref().and_then(|tenant| slack.find_installation(tenant));
    let may = bot.is_some_and(|bot| bot.scopes.contains("files:read"));
    let file = tenant.as_ref().filter(|_| may).and_then(|tenant| slack.find_file(tenant, id)).cloned();
    let now = Utc::now();
    slack.log_call(Call {
        method: "files-pri".to_owned(),
        tenant,
        is_ok: file.is_some(),
        error: file.is_none().then(|| "signin".to_owned()),
        args: json!({"file": id}),
        received_at: now,
        finished_at: now,
    });
    file
}

fn members_only_page() -> Response {
    Html(html_page("<h1>Sign in to your workspace</h1><p>This file is for members only.</p>")).into_response()
}

/// Accepts raw bytes or a multipart form with the file
/// (<https://docs.slack.dev/reference/methods/files.getUploadURLExternal>).
async fn upload(
    State(shared): State<Arc<SimulatorState>>,
    Path(secret): Path<String>,
    request: Request,
) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let content = if kind.is_some_and(|kind| kind.starts_with("multipart/form-data")) {
        read_first_part(request).await
    } else {
        Bytes::from_request(request, &()).await.map_err(IntoResponse::into_response)
    };
    let content = match content {
        Ok(content) => content,
        Err(refusal) => return refusal,
    };
    match shared.with(|slack| slack.receive_upload(&secret, content)) {
        Ok(length) => format!("OK - {length}").into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
    }
}

async fn read_first_part(request: Request) -> Result<Bytes, Response> {
    let mut form = Multipart::from_request(request, &()).await.map_err(IntoResponse::into_response)?;
    let part = form.next_field().await.map_err(IntoResponse::into_response)?;
    let part = part.ok_or_else(|| StatusCode::BAD_REQUEST.into_response())?;
    part.bytes().await.map_err(IntoResponse::into_response)
}
