//! The workspace's own key for the model: tried before it is kept, then kept as a token is.

use std::sync::Arc;

use axum::Form as Posted;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::DbError;
use db::audit_log::AuditAction;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::form::SettingsForm;
use super::{SettingsPage, database_error, load_context, load_settings, malformed_form};
use crate::auth::{CurrentUser, WorkspaceAdmin};
use crate::page::render_page;
use crate::state::WebState;

/// The longest key that is taken.
const MAX_MODEL_KEY_BYTES: usize = 500;

#[derive(Deserialize)]
pub(crate) struct ModelKeyForm {
    model_key: SecretString,
}

pub(crate) async fn set(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
    entered: Result<Posted<ModelKeyForm>, FormRejection>,
) -> Response {
    let Ok(Posted(ModelKeyForm { model_key })) = entered else { return malformed_form() };
    let key = model_key.expose_secret().trim();
    if key.is_empty() || key.len() > MAX_MODEL_KEY_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return render_key_error(
            &app,
            &signed_in,
            "Paste the key as the model's server showed it, in one line.".into(),
        )
        .await;
    }
    let key = SecretString::from(key);
    let base_url = match super::find_base_url(&app).await {
        Ok(Some(base_url)) => base_url,
        Ok(None) => {
            return render_key_error(
                &app,
                &signed_in,
                "No api service runs just now that could tell where keys are tried. Try again in a minute."
                    .into(),
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
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
) -> Response {
    save_key(&app, &signed_in, None).await
}

async fn save_key(app: &WebState, signed_in: &CurrentUser, key: Option<&SecretString>) -> Response {
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let kept = async {
        let mut tx = app.db.begin(tenant_id).await?;
        // The settings beside it are written anew: whoever saves those at once comes before or after.
        db::tenants::lock(&mut tx, tenant_id).await?;
        db::settings::set_model_key(&mut tx, tenant_id, key, actor).await?;
        let change = if key.is_some() { "set" } else { "removed" };
        let detail = json!({ "changed": [{ "setting": "model_key", "to": change }] });
        db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::SettingsChanged, detail).await?;
        tx.commit().await
    };
    match kept.await {
        Ok(()) => Redirect::to("/dashboard/settings?saved=yes").into_response(),
        Err(error) => database_error(&error),
    }
}

/// The page once more, with what is wrong beside the key.
async fn render_key_error(app: &WebState, signed_in: &CurrentUser, problem: String) -> Response {
    let found = async {
        let tenant_id = &signed_in.session.tenant_id;
        let mut tx = app.db.begin(tenant_id).await?;
        Ok::<_, DbError>((load_settings(&mut tx, tenant_id).await?, load_context(&mut tx, tenant_id).await?))
    };
    match found.await {
        Ok(((stored, standing), around)) => {
            let mut shown = SettingsPage::new(signed_in, SettingsForm::from_input(&standing), stored, around);
            shown.key_problem = Some(problem);
            render_page(StatusCode::UNPROCESSABLE_ENTITY, &shown)
        }
        Err(error) => database_error(&error),
    }
}
