//! `GET /dashboard/api-keys` and what is below it: the keys with which programs ask, made, shown once, and revoked.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::DbError;
use db::api_keys::{ApiKey, NewApiKey, RevokeOutcome};
use db::audit_log::AuditAction;
use models::ApiScope;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{database_error, landing, non_empty};
use crate::auth::{CurrentUser, WorkspaceAdmin};
use crate::page::render_page;
use crate::secrets;
use crate::state::WebState;

const API_KEYS_PATH: &str = "/dashboard/api-keys";

/// Characters of a name, and keys in use, at most.
const MAX_KEY_NAME_CHARS: usize = 60;
const MAX_ACTIVE_KEYS: i64 = 50;

/// What the form says of a new key; a box that is not ticked is not there.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct ApiKeyForm {
    key_id: Uuid,
    name: String,
    chat: String,
    people: String,
}

/// Why no key was made.
const NAME_MISSING: &str = "Give the key a name, so that people know which program has it.";
const NAME_TOO_LONG: &str = "The name is longer than 60 characters. Shorten it.";
const SCOPE_MISSING: &str = "Tick what the key may do; a key that may do nothing is of no use.";
const TOO_MANY_KEYS: &str = "There are 50 keys in use. Revoke those that nobody needs any more.";

#[derive(Template)]
#[template(path = "api_keys.html")]
struct ApiKeysPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    origin: &'a str,
    keys: Vec<ApiKey>,
    /// The form as it stands, with the id of the key that it makes.
    form: ApiKeyForm,
    /// Shown once, to whoever made it.
    new_key: Option<SecretString>,
    problem: Option<&'static str>,
}

impl ApiKeysPage<'_> {
    fn secret(&self) -> Option<&str> {
        self.new_key.as_ref().map(SecretString::expose_secret)
    }

    fn is_chat_checked(&self) -> bool {
        self.problem.is_none() || !self.form.chat.is_empty()
    }
}

impl Default for ApiKeyForm {
    /// An empty form. Its key has an id already: sent twice, it makes one key.
    fn default() -> Self {
        let [name, chat, people] = [const { String::new() }; 3];
        Self { key_id: Uuid::now_v7(), name, chat, people }
    }
}

impl ApiKeyForm {
    fn scopes(&self) -> Vec<ApiScope> {
        let boxes = [(&self.chat, ApiScope::Chat), (&self.people, ApiScope::ChatPeople)];
        boxes.into_iter().filter(|(ticked, _)| !ticked.is_empty()).map(|(_, scope)| scope).collect()
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

/// What came of a form.
enum ApiKeyCreation {
    Created(SecretString),
    /// It was sent before.
    AlreadyExists,
    Rejected(&'static str),
}

pub(crate) async fn list(State(app): State<Arc<WebState>>, manager: WorkspaceAdmin) -> Response {
    show(&app, &manager, StatusCode::OK, ApiKeyForm::default(), None, None).await
}

/// The key is in this answer, and in no other: loaded again, the page is without it, and makes no second one.
pub(crate) async fn create(
    State(app): State<Arc<WebState>>,
    manager: WorkspaceAdmin,
    wanted: Result<Form<ApiKeyForm>, FormRejection>,
) -> Response {
    let Ok(Form(wanted)) = wanted else {
        return show(
            &app,
            &manager,
            StatusCode::BAD_REQUEST,
            ApiKeyForm::default(),
            None,
            Some(NAME_MISSING),
        )
        .await;
    };
    match create_key(&app, &manager, &wanted).await {
        Ok(ApiKeyCreation::Created(key)) => {
            show(&app, &manager, StatusCode::CREATED, ApiKeyForm::default(), Some(key), None).await
        }
        Ok(ApiKeyCreation::AlreadyExists) => Redirect::to(API_KEYS_PATH).into_response(),
        Ok(ApiKeyCreation::Rejected(why)) => {
            show(&app, &manager, StatusCode::BAD_REQUEST, wanted, None, Some(why)).await
        }
        Err(error) => database_error(&error),
    }
}

async fn create_key(
    app: &WebState,
    WorkspaceAdmin(by): &WorkspaceAdmin,
    wanted: &ApiKeyForm,
) -> Result<ApiKeyCreation, DbError> {
    let (name, scopes) = match wanted.validate() {
        Ok(checked) => checked,
        Err(why) => return Ok(ApiKeyCreation::Rejected(why)),
    };
    let session = &by.session;
    let (tenant_id, key) = (&session.tenant_id, secrets::new_api_key());
    let detail = json!({ "key_id": wanted.key_id, "scopes": scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>() });
    let new = NewApiKey { key_id: wanted.key_id, name, scopes, created_by: session.user_id.clone() };
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
    let Ok(key_id) = key_id.parse::<Uuid>() else { return landing::not_found().await };
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
        Ok(RevokeOutcome::NotFound) => landing::not_found().await,
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
    wanted: ApiKeyForm,
    made: Option<SecretString>,
    problem: Option<&'static str>,
) -> Response {
    let found = async {
        db::api_keys::list(
            &mut app.db.begin(&signed_in.session.tenant_id).await?,
            &signed_in.session.tenant_id,
        )
        .await
    };
    match found.await {
        Ok(keys) => {
            let origin = app.origin();
            render_page(
                status,
                &ApiKeysPage {
                    signed_in,
                    active_page: "api_keys",
                    origin,
                    keys,
                    form: wanted,
                    new_key: made,
                    problem,
                },
            )
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
