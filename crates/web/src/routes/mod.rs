//! The pages.

mod assets;
mod install;
mod landing;
mod oauth_callback;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::app::App;

pub(crate) use oauth_callback::INSTALL_RESULTS;

/// The routes, with their methods.
pub(crate) const ROUTES: [(&str, &str); 4] =
    [("/", "GET"), ("/slack/install", "GET"), ("/slack/oauth/callback", "GET"), ("/assets/{name}", "GET")];

pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(landing::show))
        .route("/slack/install", get(install::begin))
        .route("/slack/oauth/callback", get(oauth_callback::callback))
        .route("/assets/{name}", get(assets::serve))
        .fallback(landing::not_found)
        .with_state(app)
}
