//! The workspace's own key for the model: tried before it is kept, then kept as a token is.

use std::sync::Arc;

use axum::Form as Posted;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::DbError;
use db::audit_log::Action;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::form::Form;
use super::{Page, find, look_around, malformed, trouble};
use crate::app::App;
use crate::page::page;
use crate::session::{Manager, SignedIn};

/// The longest key that is taken.
const LONGEST: usize = 500;

#[derive(Deserialize)]
pub(crate) struct Entered {
    model_key: SecretString,
}

pub(crate) async fn set(
    State(app): State<Arc<App>>,
    Manager(signed_in): Manager,
    entered: Result<Posted<Entered>, FormRejection>,
) -> Response {
    let Ok(Posted(Entered { model_key })) = entered else { return malformed() };
    let key = model_key.expose_secret().trim();
    if key.is_empty() || key.len() > LONGEST || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse(
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
            return refuse(
                &app,
                &signed_in,
                "No api service runs just now that could tell where keys are tried. Try again in a minute."
                    .into(),
            )
            .await;
        }
        Err(error) => return trouble(&error),
    };
    match llm::check_key(&base_url, &key).await {
        Ok(()) => keep(&app, &signed_in, Some(&key)).await,
        Err(error) => refuse(&app, &signed_in, format!("The key was not saved: {error}.")).await,
    }
}

pub(crate) async fn remove(State(app): State<Arc<App>>, Manager(signed_in): Manager) -> Response {
    keep(&app, &signed_in, None).await
}

async fn keep(app: &App, signed_in: &SignedIn, key: Option<&SecretString>) -> Response {
    let (tenant_id, actor) = (&signed_in.session.tenant_id, signed_in.session.user_id.as_str());
    let kept = async {
        let mut tx = app.db.begin(tenant_id).await?;
        // The settings beside it are written anew: whoever saves those at once comes before or after.
        db::tenants::lock(&mut tx, tenant_id).await?;
        db::settings::set_model_key(&mut tx, tenant_id, key, actor).await?;
        let change = if key.is_some() { "set" } else { "removed" };
        let detail = json!({ "changed": [{ "setting": "model_key", "to": change }] });
        db::audit_log::insert(&mut tx, tenant_id, actor, Action::SettingsChanged, detail).await?;
        tx.commit().await
    };
    match kept.await {
        Ok(()) => Redirect::to("/dashboard/settings?saved=yes").into_response(),
        Err(error) => trouble(&error),
    }
}

/// The page once more, with what is wrong beside the key.
async fn refuse(app: &App, signed_in: &SignedIn, problem: String) -> Response {
    let found = async {
        let tenant_id = &signed_in.session.tenant_id;
        let mut tx = app.db.begin(tenant_id).await?;
        Ok::<_, DbError>((find(&mut tx, tenant_id).await?, look_around(&mut tx, tenant_id).await?))
    };
    match found.await {
        Ok(((stored, standing), around)) => {
            let mut shown = Page::new(signed_in, Form::of(&standing), stored, around);
            shown.key_problem = Some(problem);
            page(StatusCode::UNPROCESSABLE_ENTITY, &shown)
        }
        Err(error) => trouble(&error),
    }
}
