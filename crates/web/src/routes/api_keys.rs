//! `/dashboard/api-keys`: creation and revocation of API keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::DbError;
use db::api_keys::{ApiKey, NewApiKey, RevokeOutcome};
use db::audit_log::AuditAction;
use models::{ApiScope, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::responses::{database_error, non_empty, not_found};
use crate::auth::deactivated;
use crate::auth::secrets;
use crate::auth::{ConfirmedAdmin, CurrentUser, WorkspaceAdmin};
use crate::page::render_page;
use crate::state::WebState;

const API_KEYS_PATH: &str = "/dashboard/api-keys";

/// Maximum length of a name, and maximum number of active keys.
const MAX_KEY_NAME_CHARS: usize = 60;
const MAX_ACTIVE_KEYS: i64 = 50;

/// The form for a new key. Browsers omit unchecked boxes.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct ApiKeyForm {
    key_id: Uuid,
    name: String,
    chat: String,
    people: String,
}

/// Reasons a key was not created.
const NAME_MISSING: &str = "Enter a name that says which program uses the key.";
const NAME_TOO_LONG: &str = "The name is too long. Use at most 60 characters.";
const SCOPE_MISSING: &str = "Select at least one scope.";
const TOO_MANY_KEYS: &str = "The limit is 50 active keys. Revoke one that is no longer used.";

#[derive(Template)]
#[template(path = "api_keys.html")]
struct ApiKeysPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    origin: &'a str,
    keys: Vec<ApiKey>,
    /// The creators of active keys who left; `None` if Slack did not say.
    left: Option<BTreeSet<UserId>>,
    /// The form, with the id of the key that it will create.
    form: ApiKeyForm,
    /// The new key, shown only in the response to its creation.
    new_key: Option<SecretString>,
    problem: Option<&'static str>,
}

impl ApiKeysPage<'_> {
    /// Returns true if the key works although its creator left.
    fn has_left(&self, key: &ApiKey) -> bool {
        let left = self.left.as_ref();
        key.revoked_at.is_none() && left.is_some_and(|left| left.contains(&key.created_by.as_str().into()))
    }

    fn secret(&self) -> Option<&str> {
        self.new_key.as_ref().map(SecretString::expose_secret)
    }

    fn is_chat_checked(&self) -> bool {
        self.problem.is_none() || !self.form.chat.is_empty()
    }
}

impl Default for ApiKeyForm {
    /// Creates an empty form. It already has the key's id, so submitting it twice creates one key.
    fn default() -> Self {
        let [name, chat, people] = [const { String::new() }; 3];
        Self { key_id: Uuid::now_v7(), name, chat, people }
    }
}

impl ApiKeyForm {
    fn scopes(&self) -> Vec<ApiScope> {
        let boxes = [(&self.chat, ApiScope::Chat), (&self.people, ApiScope::ChatPeople)];
        boxes.into_iter().filter(|(value, _)| !value.is_empty()).map(|(_, scope)| scope).collect()
    }

    fn validate(&self) -> Result<(String, Vec<ApiScope>), &'static str> {
        let printable: String = self.name.chars().filter(|c| !c.is_control()).collect();
        let name = non_empty(&printable).ok_or(NAME_MISSING)?;
        if name.chars().count() > MAX_KEY_NAME_CHARS {
            return Err(NAME_TOO_LONG);
        }
        let scopes = self.scopes();
        if scopes.is_empty() { Err(SCOPE_MISSING) } else { Ok((name, scopes)) }
    }
}

/// The result of submitting a form.
enum ApiKeyCreation {
    Created(SecretString),
    /// The form was submitted before.
    AlreadyExists,
    Rejected(&'static str),
}

pub(crate) async fn list(State(app): State<Arc<WebState>>, admin: WorkspaceAdmin) -> Response {
    show(&app, &admin, StatusCode::OK, ApiKeyForm::default(), None, None).await
}

/// Creates a key, and shows it in this response only. Reloading the page neither shows it again nor creates
/// another.
pub(crate) async fn create(
    State(app): State<Arc<WebState>>,
    ConfirmedAdmin(signed_in): ConfirmedAdmin,
    form: Result<Form<ApiKeyForm>, FormRejection>,
) -> Response {
    let admin = WorkspaceAdmin(signed_in);
    let Ok(Form(form)) = form else {
        return show(&app, &admin, StatusCode::BAD_REQUEST, ApiKeyForm::default(), None, Some(NAME_MISSING))
            .await;
    };
    match create_key(&app, &admin, &form).await {
        Ok(ApiKeyCreation::Created(key)) => {
            show(&app, &admin, StatusCode::CREATED, ApiKeyForm::default(), Some(key), None).await
        }
        Ok(ApiKeyCreation::AlreadyExists) => Redirect::to(API_KEYS_PATH).into_response(),
        Ok(ApiKeyCreation::Rejected(reason)) => {
            show(&app, &admin, StatusCode::BAD_REQUEST, form, None, Some(reason)).await
        }
        Err(error) => database_error(&error),
    }
}

async fn create_key(
    app: &WebState,
    WorkspaceAdmin(by): &WorkspaceAdmin,
    form: &ApiKeyForm,
) -> Result<ApiKeyCreation, DbError> {
    let (name, scopes) = match form.validate() {
        Ok(valid) => valid,
        Err(reason) => return Ok(ApiKeyCreation::Rejected(reason)),
    };
    let session = &by.session;
    let (tenant_id, key) = (&session.tenant_id, secrets::new_api_key());
    let scope_names: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    let detail = json!({ "key_id": form.key_id, "scopes": scope_names });
    let new = NewApiKey { key_id: form.key_id, name, scopes, created_by: session.user_id.clone() };
    let mut tx = app.db.begin(tenant_id).await?;
    if db::api_keys::count_active(&mut tx, tenant_id).await? >= MAX_ACTIVE_KEYS {
        return Ok(ApiKeyCreation::Rejected(TOO_MANY_KEYS));
    }
    if !db::api_keys::insert(&mut tx, tenant_id, &new, &key).await? {
        return Ok(ApiKeyCreation::AlreadyExists);
    }
    let actor = session.user_id.as_str();
    db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::ApiKeyCreated, detail).await?;
    tx.commit().await?;
    Ok(ApiKeyCreation::Created(key))
}

pub(crate) async fn revoke(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(by): WorkspaceAdmin,
    Path(key_id): Path<String>,
) -> Response {
    let Ok(key_id) = key_id.parse::<Uuid>() else { return not_found().await };
    let (tenant_id, actor) = (&by.session.tenant_id, by.session.user_id.as_str());
    let revoked = async {
        let mut tx = app.db.begin(tenant_id).await?;
        let revoked = db::api_keys::revoke(&mut tx, tenant_id, key_id).await?;
        if revoked == RevokeOutcome::Revoked {
            let detail = json!({ "key_id": key_id });
            db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::ApiKeyRevoked, detail).await?;
        }
        tx.commit().await?;
        Ok::<_, DbError>(revoked)
    };
    match revoked.await {
        Ok(RevokeOutcome::NotFound) => not_found().await,
        Ok(RevokeOutcome::Revoked | RevokeOutcome::AlreadyRevoked) => {
            Redirect::to(API_KEYS_PATH).into_response()
        }
        Err(error) => database_error(&error),
    }
}

async fn show(
    app: &WebState,
    WorkspaceAdmin(signed_in): &WorkspaceAdmin,
    status: StatusCode,
    form: ApiKeyForm,
    new_key: Option<SecretString>,
    problem: Option<&'static str>,
) -> Response {
    let tenant_id = &signed_in.session.tenant_id;
    let keys = async { db::api_keys::list(&mut app.db.begin(tenant_id).await?, tenant_id).await };
    match keys.await {
        Ok(keys) => {
            let active = keys.iter().filter(|key| key.revoked_at.is_none());
            let creators = active.map(|key| key.created_by.as_str().into()).collect();
            let left = deactivated::find_deactivated(app, tenant_id, creators).await;
            let (active_page, origin) = ("api_keys", app.origin());
            let page = ApiKeysPage { signed_in, active_page, origin, keys, left, form, new_key, problem };
            render_page(status, &page)
        }
        Err(error) => database_error(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api_key_form(name: &str, chat: &str, people: &str) -> ApiKeyForm {
        ApiKeyForm { name: name.into(), chat: chat.into(), people: people.into(), ..ApiKeyForm::default() }
    }

    #[test]
    fn api_key_needs_name_and_scope() {
        let both = api_key_form(" Wiki ", "on", "on").validate();
        assert_eq!(both, Ok(("Wiki".into(), vec![ApiScope::Chat, ApiScope::ChatPeople])));
        assert_eq!(api_key_form(" \0\n", "on", "").validate(), Err(NAME_MISSING));
        assert_eq!(api_key_form(&"é".repeat(61), "on", "").validate(), Err(NAME_TOO_LONG));
        assert_eq!(api_key_form("Wiki", "", "").validate(), Err(SCOPE_MISSING));
        assert_eq!(api_key_form(&"é".repeat(60), "", "on").validate().map(|(_, scopes)| scopes.len()), Ok(1));
    }
}
