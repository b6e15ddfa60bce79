//! `GET /assets/…`: static files, embedded in the binary.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "assets/"]
struct WebAssets;

pub(crate) async fn serve(Path(name): Path<String>) -> Response {
    let Some(file) = WebAssets::get(&name) else { return super::responses::not_found().await };
    let content_type = file.metadata.mimetype().to_owned();
    let headers = [(CONTENT_TYPE, content_type.as_str()), (CACHE_CONTROL, "public, max-age=300")];
    (headers, file.data.into_owned()).into_response()
}
