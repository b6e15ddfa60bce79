//! The pages.

mod api_docs;
mod api_keys;
mod assets;
mod audit;
mod conversations;
mod dashboard;
mod data;
mod deletion;
mod events;
mod export;
mod health;
mod install;
mod landing;
mod login;
mod oauth_callback;
mod operators;
mod overview_stream;
mod people;
mod settings;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use db::DbError;
use tower_http::csrf::CsrfLayer;

use crate::page::{ErrorPage, render_page};
use crate::read_your_writes;
use crate::request_limits;
use crate::state::WebState;

pub(crate) use landing::not_found;
pub(crate) use oauth_callback::INSTALL_RESULTS;

/// The routes, with their methods.
pub(crate) fn known_routes() -> Vec<(&'static str, &'static str)> {
    DASHBOARD_ROUTES.into_iter().chain(operators::OPERATOR_ROUTES).collect()
}

const DASHBOARD_ROUTES: [(&str, &str); 36] = [
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
    ("/dashboard/people/{user_id}/export.json", "GET"),
    ("/dashboard/people/{user_id}/forget", "POST"),
    ("/dashboard/settings", "GET"),
    ("/dashboard/settings", "POST"),
    ("/dashboard/settings/review", "POST"),
    ("/dashboard/settings/model-key", "POST"),
    ("/dashboard/settings/model-key/remove", "POST"),
];

pub(crate) fn router(app: Arc<WebState>) -> Router {
    let open_to_all = Router::new()
        .route("/slack/install", get(install::begin))
        .route("/slack/oauth/callback", get(oauth_callback::handle_callback))
        .route("/login", get(login::begin))
        .route("/login/callback", get(login::handle_callback))
        .layer(from_fn_with_state(Arc::clone(&app), request_limits::limit_ip));
    Router::new()
        .route("/", get(landing::show))
        .route("/assets/{name}", get(assets::serve))
        .route("/logout", post(login::sign_out))
        .route("/dashboard", get(dashboard::show))
        .route("/dashboard/live", get(overview_stream::stream_updates))
        .route("/dashboard/events", get(events::list))
        .route("/dashboard/events/{event_id}", get(events::show))
        .route("/dashboard/events/{event_id}/redrive", post(events::redrive))
        .route("/dashboard/events/{event_id}/discard", post(events::discard))
        .route("/dashboard/health", get(health::show))
        .route("/dashboard/audit", get(audit::show))
        .route("/dashboard/audit.csv", get(audit::export_csv))
        .route("/dashboard/data", get(data::show))
        .route("/dashboard/data/exports", get(data::list_exports))
        .route("/dashboard/data/export.tar", post(export::export))
        .route("/dashboard/data/delete", post(deletion::delete))
        .route("/dashboard/api", get(api_docs::show))
        .route("/dashboard/api-keys", get(api_keys::list).post(api_keys::create))
        .route("/dashboard/api-keys/{key_id}/revoke", post(api_keys::revoke))
        .route("/dashboard/conversations", get(conversations::list))
        .route("/dashboard/conversations/{channel_id}/{thread_ts}", get(conversations::show))
        .route("/dashboard/people", get(people::list))
        .route("/dashboard/people/{user_id}", get(people::show))
        .route("/dashboard/people/{user_id}/profile", post(people::set_profile))
        .route("/dashboard/people/{user_id}/export.json", get(people::export_person))
        .route("/dashboard/people/{user_id}/forget", post(people::forget_person))
        .route("/dashboard/settings", get(settings::show).post(settings::save))
        .route("/dashboard/settings/review", post(settings::review))
        .route("/dashboard/settings/model-key", post(settings::set_model_key))
        .route("/dashboard/settings/model-key/remove", post(settings::remove_model_key))
        .merge(operators::router())
        .merge(open_to_all)
        // No other site can press a button here.
        .layer(CsrfLayer::new())
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(&app), read_your_writes::mark_recent_write))
        .layer(from_fn_with_state(Arc::clone(&app), request_limits::limit_request))
        .with_state(app)
}

/// What somebody wrote into a field; an empty one asks for nothing.
fn non_empty(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Where a deed leads to; what it was to be done to may not be there.
async fn redirect_or_404(path: &str, done: Result<bool, DbError>) -> Response {
    match done {
        Ok(true) => Redirect::to(path).into_response(),
        Ok(false) => not_found().await,
        Err(error) => database_error(&error),
    }
}

/// The page for a form that no page of this service sends.
fn malformed_form() -> Response {
    let problem = ErrorPage {
        title: "That form is not complete",
        detail: "What came here is not what the page sends. Nothing was changed.",
        next_step: "Go back, load the page again, and send it once more.",
        action: None,
    };
    render_page(StatusCode::BAD_REQUEST, &problem)
}

/// The page for what the database did not answer; the detail goes to the log.
pub(crate) fn database_error(error: &DbError) -> Response {
    if error.is_invalid_text() {
        return malformed_form();
    }
    tracing::error!(error = %error, "a page could not be made");
    let problem = ErrorPage {
        title: "The database does not answer",
        detail: "The page could not be made.",
        next_step: "Wait a minute, then load it again. If it goes on, tell whoever runs this server.",
        action: None,
    };
    render_page(StatusCode::SERVICE_UNAVAILABLE, &problem)
}
