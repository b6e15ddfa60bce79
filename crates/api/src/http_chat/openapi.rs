//! The description that programs read: OpenAPI 3.1, made of the types that are sent and received.

use std::sync::LazyLock;

use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::problem::Problem;
use super::types::{ChatAnswer, ChatDelta, ChatEnd, ChatEvent, ChatRequest};

#[derive(OpenApi)]
#[openapi(
    info(title = "EnableBot", description = "Ask the assistant of a Slack workspace from a program of your own."),
    paths(crate::routes::chat::ask),
    components(schemas(ChatRequest, ChatAnswer, ChatEvent, ChatDelta, ChatEnd, Problem)),
    modifiers(&BearerSecurity)
)]
struct ChatApiSpec;

struct BearerSecurity;

impl Modify for BearerSecurity {
    fn modify(&self, description: &mut Description) {
        let about = "A key of the workspace. Its admins make them in the dashboard, under \"API keys\".";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

/// The description as it is served.
pub(crate) fn openapi_json() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(|| ChatApiSpec::openapi().to_json().unwrap_or_default());
    &JSON
}
