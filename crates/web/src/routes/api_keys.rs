//! `GET /dashboard/api-keys` and what is below it: the keys with which programs ask, made, shown once, and revoked.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::DbError;
use db::api_keys::{ApiKey, NewApiKey, Revoked};
use db::audit_log::Action;
use models::ApiScope;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{filled, landing, trouble};
use crate::app::App;
use crate::page::page;
use crate::secret;
use crate::session::{Manager, SignedIn};

const PATH: &str = "/dashboard/api-keys";

/// Characters of a name, and keys in use, at most.
const MAX_NAME: usize = 60;
const MAX_KEYS: i64 = 50;

/// What the form says of a new key; a box that is not ticked is not there.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    key_id: Uuid,
    name: String,
    chat: String,
    people: String,
}

/// Why no key was made.
const NAMELESS: &str = "Give the key a name, so that people know which program has it.";
const LONG_NAME: &str = "The name is longer than 60 characters. Shorten it.";
const SCOPELESS: &str = "Tick what the key may do; a key that may do nothing is of no use.";
const TOO_MANY: &str = "There are 50 keys in use. Revoke those that nobody needs any more.";

#[derive(Template)]
#[template(path = "api_keys.html")]
struct ApiKeys<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    origin: &'a str,
    keys: Vec<ApiKey>,
    /// The form as it stands, with the id of the key that it makes.
    wanted: Wanted,
    /// Shown once, to whoever made it.
    made: Option<SecretString>,
    problem: Option<&'static str>,
}

impl ApiKeys<'_> {
    fn secret(&self) -> Option<&str> {
        self.made.as_ref().map(SecretString::expose_secret)
    }

    fn may_chat(&self) -> bool {
        self.problem.is_none() || !self.wanted.chat.is_empty()
    }
}

impl Default for Wanted {
    /// An empty form. Its key has an id already: sent twice, it makes one key.
    fn default() -> Self {
        let [name, chat, people] = [const { String::new() }; 3];
        Self { key_id: Uuid::now_v7(), name, chat, people }
    }
}

impl Wanted {
    fn scopes(&self) -> Vec<ApiScope> {
        let boxes = [(&self.chat, ApiScope::Chat), (&self.people, ApiScope::ChatPeople)];
        boxes.into_iter().filter(|(ticked, _)| !ticked.is_empty()).map(|(_, scope)| scope).collect()
    }

    fn checked(&self) -> Result<(String, Vec<ApiScope>), &'static str> {
        let printable: String = self.name.chars().filter(|c| !c.is_control()).collect();
        let name = filled(&printable).ok_or(NAMELESS)?;
        if name.chars().count() > MAX_NAME {
            return Err(LONG_NAME);
        }
        let scopes = self.scopes();
        if scopes.is_empty() { Err(SCOPELESS) } else { Ok((name, scopes)) }
    }
}

/// What came of a form.
enum Made {
    Key(SecretString),
    /// It was sent before.
    Before,
    Refused(&'static str),
}

pub(crate) async fn list(State(app): State<Arc<App>>, manager: Manager) -> Response {
    show(&app, &manager, StatusCode::OK, Wanted::default(), None, None).await
}

/// The key is in this answer, and in no other: loaded again, the page is without it, and makes no second one.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    manager: Manager,
    wanted: Result<Form<Wanted>, FormRejection>,
) -> Response {
    let Ok(Form(wanted)) = wanted else {
        return show(&app, &manager, StatusCode::BAD_REQUEST, Wanted::default(), None, Some(NAMELESS)).await;
    };
    match make(&app, &manager, &wanted).await {
        Ok(Made::Key(key)) => {
            show(&app, &manager, StatusCode::CREATED, Wanted::default(), Some(key), None).await
        }
        Ok(Made::Before) => Redirect::to(PATH).into_response(),
        Ok(Made::Refused(why)) => {
            show(&app, &manager, StatusCode::BAD_REQUEST, wanted, None, Some(why)).await
        }
        Err(error) => trouble(&error),
    }
}

async fn make(app: &App, Manager(by): &Manager, wanted: &Wanted) -> Result<Made, DbError> {
    let (name, scopes) = match wanted.checked() {
        Ok(checked) => checked,
        Err(why) => return Ok(Made::Refused(why)),
    };
    let session = &by.session;
    let (tenant_id, key) = (&session.tenant_id, secret::api_key());
    let detail = json!({ "key_id": wanted.key_id, "scopes": scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>() });
    let new = NewApiKey { key_id: wanted.key_id, name, scopes, created_by: session.user_id.clone() };
    let mut tx = app.db.begin(tenant_id).await?;
    if db::api_keys::count_in_use(&mut tx, tenant_id).await? >= MAX_KEYS {
        return Ok(Made::Refused(TOO_MANY));
    }
    if !db::api_keys::insert(&mut tx, tenant_id, &new, &key).await? {
        return Ok(Made::Before);
    }
    let actor = session.user_id.as_str();
    db::audit_log::insert(&mut tx, tenant_id, actor, Action::ApiKeyCreated, detail).await?;
    tx.commit().await?;
    Ok(Made::Key(key))
}

pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    Manager(by): Manager,
    Path(key_id): Path<String>,
) -> Response {
    let Ok(key_id) = key_id.parse::<Uuid>() else { return landing::not_found().await };
    let (tenant_id, actor) = (&by.session.tenant_id, by.session.user_id.as_str());
    let revoked = async {
        let mut tx = app.db.begin(tenant_id).await?;
        let revoked = db::api_keys::revoke(&mut tx, tenant_id, key_id).await?;
        if revoked == Revoked::Now {
            let detail = json!({ "key_id": key_id });
            db::audit_log::insert(&mut tx, tenant_id, actor, Action::ApiKeyRevoked, detail).await?;
        }
        tx.commit().await?;
        Ok::<_, DbError>(revoked)
    };
    match revoked.await {
        Ok(Revoked::Unknown) => landing::not_found().await,
        Ok(Revoked::Now | Revoked::Before) => Redirect::to(PATH).into_response(),
        Err(error) => trouble(&error),
    }
}

async fn show(
    app: &App,
    Manager(signed_in): &Manager,
    status: StatusCode,
    wanted: Wanted,
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
            page(status, &ApiKeys { signed_in, here: "api_keys", origin, keys, wanted, made, problem })
        }
        Err(error) => trouble(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, chat: &str, people: &str) -> Wanted {
        Wanted { name: name.into(), chat: chat.into(), people: people.into(), ..Wanted::default() }
    }

    #[test]
    fn a_key_has_a_name_and_may_do_something() {
        let both = wanted(" Wiki ", "on", "on").checked();
        assert_eq!(both, Ok(("Wiki".into(), vec![ApiScope::Chat, ApiScope::ChatPeople])));
        assert_eq!(wanted(" \0\n", "on", "").checked(), Err(NAMELESS));
        assert_eq!(wanted(&"é".repeat(61), "on", "").checked(), Err(LONG_NAME));
        assert_eq!(wanted("Wiki", "", "").checked(), Err(SCOPELESS));
        assert_eq!(wanted(&"é".repeat(60), "", "on").checked().map(|(_, scopes)| scopes.len()), Ok(1));
    }
}
