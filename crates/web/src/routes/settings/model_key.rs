//! The workspace's own API key for the model: tested before it is saved, and stored encrypted.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::audit_log::AuditAction;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{SettingsPage, find_base_url};
use crate::auth::{ConfirmedAdmin, CurrentUser};
use crate::page::render_page;
use crate::routes::responses::{database_error, malformed_form};
use crate::state::WebState;

/// Maximum length of a key.
const MAX_MODEL_KEY_BYTES: usize = 500;

#[derive(Deserialize)]
pub(crate) struct ModelKeyForm {
    model_key: SecretString,
}

pub(crate) async fn set(
    State(app): State<Arc<WebState>>,
    ConfirmedAdmin(signed_in): ConfirmedAdmin,
    entered: Result<Form<ModelKeyForm>, FormRejection>,
) -> Response {
    let Ok(Form(ModelKeyForm { model_key })) = entered else { return malformed_form() };
    let key = model_key.expose_secret().trim();
    if key.is_empty() || key.len() > MAX_MODEL_KEY_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return render_key_error(
            &app,
            &signed_in,
            "Paste the key exactly as the model provider showed it, on one line.".into(),
        )
        .await;
    }
    let key = SecretString::from(key);
    let base_url = match find_base_url(&app).await {
        Ok(Some(base_url)) => base_url,
        Ok(None) => {
            return render_key_error(
                &app,
                &signed_in,
                "The key can't be tested because no api instance is running. Try again in a minute.".into(),
            )
            .await;
        }
        Err(error) => return database_error(&error),
    };
    match llm::check_api_key(&base_url, &key).await {
        Ok(()) => save_key(&app, &signed_in, Some(&key)).await,
        Err(error) => render_key_error(&app, &signed_in, format!("The key was not saved: {error}.")).await,
    }
}

pub(crate) async fn remove(
    State(app): State<Arc<WebState>>,
    ConfirmedAdmin(signed_in): ConfirmedAdmin,
) -> Response {
    save_key(&app, &signed_in, None).await
}

async fn save_key(app: &WebState, signed_in: &CurrentUser, key: Option<&SecretString>) -> Response {
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let saved = async {
        let mut tx = app.db.begin(tenant_id).await?;
        // Setting the key rewrites the row of the settings: the lock serializes this with other saves.
        db::tenants::lock(&mut tx, tenant_id).await?;
        db::settings::set_model_key(&mut tx, tenant_id, key, actor).await?;
        let change = if key.is_some() { "set" } else { "removed" };
        let detail = json!({ "changed": [{ "setting": "model_key", "to": change }] });
        db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::SettingsChanged, detail).await?;
        tx.commit().await
    };
    match saved.await {
        Ok(()) => Redirect::to("/dashboard/settings?saved=yes").into_response(),
        Err(error) => database_error(&error),
    }
}

/// Renders the page with an error next to the key.
async fn render_key_error(app: &WebState, signed_in: &CurrentUser, problem: String) -> Response {
    match SettingsPage::load(app, signed_in).await {
        Ok(page) => render_page(
            StatusCode::UNPROCESSABLE_ENTITY,
            &SettingsPage { key_problem: Some(problem), ..page },
        ),
        Err(error) => database_error(&error),
    }
}
