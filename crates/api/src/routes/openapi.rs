//! `GET /api/openapi.json`: the OpenAPI 3.1 description, generated from the types of requests and responses.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::http_chat::{ChatAnswer, ChatDelta, ChatEnd, ChatEvent, ChatRequest, Problem};

#[derive(OpenApi)]
#[openapi(
    info(title = "EnableBot", description = "Ask the assistant of a Slack workspace from your own code."),
    paths(crate::routes::chat::ask),
    components(schemas(ChatRequest, ChatAnswer, ChatEvent, ChatDelta, ChatEnd, Problem)),
    modifiers(&BearerSecurity)
)]
struct ChatApiSpec;

struct BearerSecurity;

impl Modify for BearerSecurity {
    fn modify(&self, description: &mut Description) {
        let about = "An API key of the workspace. Admins create keys in the dashboard, under \"API keys\".";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

/// Returns the description.
pub(super) async fn describe() -> Response {
    static JSON: LazyLock<String> = LazyLock::new(|| ChatApiSpec::openapi().to_json().unwrap_or_default());
    ([(CONTENT_TYPE, "application/json")], JSON.as_str()).into_response()
}
