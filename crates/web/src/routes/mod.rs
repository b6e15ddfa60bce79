//! Routes of all pages.

mod api_docs;
mod api_keys;
mod assets;
mod audit;
mod conversations;
mod data;
mod events;
mod export_notice;
mod health;
pub(crate) mod install;
mod landing;
mod login;
mod navigation;
mod operators;
pub(crate) mod overview;
mod people;
pub(crate) mod responses;
mod sessions;
mod settings;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::ALLOW;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tower_http::csrf::CsrfLayer;

use crate::middleware::{read_your_writes, request_limits};
use crate::state::WebState;
use responses::not_found;

/// Lists all routes with their methods.
pub(crate) fn known_routes() -> Vec<(&'static str, &'static str)> {
    DASHBOARD_ROUTES.into_iter().chain(operators::OPERATOR_ROUTES).collect()
}

const DASHBOARD_ROUTES: [(&str, &str); 41] = [
    ("/", "GET"),
    ("/slack/install", "GET"),
    ("/slack/oauth/callback", "GET"),
    ("/assets/{name}", "GET"),
    ("/login", "GET"),
    ("/login/callback", "GET"),
    ("/logout", "POST"),
    ("/dashboard", "GET"),
    ("/dashboard/live", "GET"),
    ("/dashboard/events", "GET"),
    ("/dashboard/events/{event_id}", "GET"),
    ("/dashboard/events/{event_id}/redrive", "POST"),
    ("/dashboard/events/{event_id}/discard", "POST"),
    ("/dashboard/health", "GET"),
    ("/dashboard/audit", "GET"),
    ("/dashboard/audit.csv", "GET"),
    ("/dashboard/data", "GET"),
    ("/dashboard/data/exports", "GET"),
    ("/dashboard/data/export.tar", "POST"),
    ("/dashboard/data/delete", "POST"),
    ("/dashboard/api", "GET"),
    ("/dashboard/api-keys", "GET"),
    ("/dashboard/api-keys", "POST"),
    ("/dashboard/api-keys/{key_id}/revoke", "POST"),
    ("/dashboard/conversations", "GET"),
    ("/dashboard/conversations/{channel_id}/{thread_ts}", "GET"),
    ("/dashboard/people", "GET"),
    ("/dashboard/people/{user_id}", "GET"),
    ("/dashboard/people/{user_id}/profile", "POST"),
    ("/dashboard/people/{user_id}/export.json", "POST"),
    ("/dashboard/people/{user_id}/forget", "POST"),
    ("/dashboard/sessions", "GET"),
    ("/dashboard/sessions/end-all", "POST"),
    ("/dashboard/sessions/{session_id}/end", "POST"),
    ("/dashboard/settings", "GET"),
    ("/dashboard/settings", "POST"),
    ("/dashboard/settings/review", "POST"),
    ("/dashboard/settings/managers", "POST"),
    ("/dashboard/settings/managers/{user_id}/revoke", "POST"),
    ("/dashboard/settings/model-key", "POST"),
    ("/dashboard/settings/model-key/remove", "POST"),
];

pub(crate) fn router(app: Arc<WebState>) -> Router {
    let open_to_all = Router::new()
        .route("/slack/install", get(install::begin).head(reject_head))
        .route("/slack/oauth/callback", get(install::callback::handle_callback).head(reject_head))
        .route("/login", get(login::begin).head(reject_head))
        .route("/login/callback", get(login::handle_callback).head(reject_head))
        .layer(from_fn_with_state(Arc::clone(&app), request_limits::limit_ip));
    Router::new()
        .route("/", get(landing::show))
        .route("/assets/{name}", get(assets::serve))
        .route("/logout", post(login::sign_out))
        .route("/dashboard", get(overview::show))
        .route("/dashboard/live", get(overview::stream::stream_updates))
        .route("/dashboard/events", get(events::list))
        .route("/dashboard/events/{event_id}", get(events::show))
        .route("/dashboard/events/{event_id}/redrive", post(events::redrive))
        .route("/dashboard/events/{event_id}/discard", post(events::discard))
        .route("/dashboard/health", get(health::show))
        .route("/dashboard/audit", get(audit::show))
        .route("/dashboard/audit.csv", get(audit::export_csv))
        .route("/dashboard/data", get(data::show))
        .route("/dashboard/data/exports", get(data::list_exports))
        .route("/dashboard/data/export.tar", post(data::export::export))
        .route("/dashboard/data/delete", post(data::deletion::delete))
        .route("/dashboard/api", get(api_docs::show))
        .route("/dashboard/api-keys", get(api_keys::list).post(api_keys::create))
        .route("/dashboard/api-keys/{key_id}/revoke", post(api_keys::revoke))
        .route("/dashboard/conversations", get(conversations::list))
        .route("/dashboard/conversations/{channel_id}/{thread_ts}", get(conversations::show))
        .route("/dashboard/people", get(people::list))
        .route("/dashboard/people/{user_id}", get(people::show))
        .route("/dashboard/people/{user_id}/profile", post(people::set_profile))
        .route("/dashboard/people/{user_id}/export.json", post(people::export_person))
        .route("/dashboard/people/{user_id}/forget", post(people::forget_person))
        .route("/dashboard/sessions", get(sessions::list))
        .route("/dashboard/sessions/end-all", post(sessions::end_all))
        .route("/dashboard/sessions/{session_id}/end", post(sessions::end))
        .route("/dashboard/settings", get(settings::show).post(settings::save))
        .route("/dashboard/settings/review", post(settings::review))
        .route("/dashboard/settings/managers", post(settings::name_manager))
        .route("/dashboard/settings/managers/{user_id}/revoke", post(settings::revoke_manager))
        .route("/dashboard/settings/model-key", post(settings::set_model_key))
        .route("/dashboard/settings/model-key/remove", post(settings::remove_model_key))
        .merge(operators::router())
        .merge(open_to_all)
        // Rejects cross-site POSTs.
        .layer(CsrfLayer::new())
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(&app), read_your_writes::mark_recent_write))
        .layer(from_fn_with_state(Arc::clone(&app), request_limits::limit_request))
        .with_state(app)
}

/// Rejects HEAD where a GET begins or ends something: a link preview must not use up a state.
async fn reject_head() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET")])
}
