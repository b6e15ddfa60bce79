//! Sign in with Slack: the page, and the keys its tokens are verified with.
//! Source: <https://docs.slack.dev/authentication/sign-in-with-slack>

use std::sync::Arc;

use anyhow::Context;
use axum::extract::{Form, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde::Deserialize;
use url::Url;

use crate::document::{check_redirect, document, escape, hidden, refusal, send_back};
use crate::shared::Shared;
use crate::world::{SignIn, World};

/// What the app asks for, in the address.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Ask {
    client_id: String,
    response_type: String,
    scope: String,
    redirect_uri: String,
    state: Option<String>,
    nonce: Option<String>,
    team: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
}

/// The form of the page: what was asked, the answer, and who one is.
#[derive(Deserialize)]
struct Decision {
    #[serde(flatten)]
    ask: Ask,
    decision: String,
    user: String,
}

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/openid/connect/authorize", get(ask).post(answer))
        .route("/openid/connect/keys", get(keys))
}

async fn ask(State(shared): State<Arc<Shared>>, Query(ask): Query<Ask>) -> Response {
    shared.with(|world| match ask.check(world) {
        Ok(()) => Html(page(world, &ask)).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, Html(refusal(&why))).into_response(),
    })
}

async fn answer(State(shared): State<Arc<Shared>>, Form(form): Form<Decision>) -> Response {
    let user = (form.decision == "allow").then_some(form.user.as_str());
    match shared.with(|world| form.ask.decide(world, user)) {
        Ok(location) => (StatusCode::FOUND, [(header::LOCATION, location)]).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, Html(refusal(&why))).into_response(),
    }
}

async fn keys(State(shared): State<Arc<Shared>>) -> Response {
    match shared.with(World::id_key) {
        Ok(key) => Json(key.jwks()).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Answers a sign-in page's address as a person would, None being Cancel; where the browser goes then.
pub(crate) fn decide(world: &mut World, authorize_url: &str, user: Option<&str>) -> anyhow::Result<String> {
    let url = Url::parse(authorize_url).context("no address of a sign-in page")?;
    let ask: Ask = serde_urlencoded::from_str(url.query().unwrap_or_default())?;
    ask.decide(world, user).map_err(anyhow::Error::msg)
}

impl Ask {
    fn check(&self, world: &World) -> Result<(), String> {
        if self.client_id != world.settings.client_id {
            return Err(format!("Invalid client_id parameter: there is no app “{}” here.", self.client_id));
        }
        if self.response_type != "code" {
            return Err("Invalid response_type parameter: it has to be “code”.".to_owned());
        }
        let mut scopes = self.scope.split([' ', ',']).filter(|scope| !scope.is_empty()).peekable();
        let known = |scope: &str| ["openid", "profile", "email"].contains(&scope);
        if scopes.peek().is_none() || !scopes.all(known) {
            return Err(
                "Invalid scope parameter: only openid, profile and email can be asked for.".to_owned()
            );
        }
        if self.code_challenge.is_some() && self.code_challenge_method.as_deref() != Some("S256") {
            return Err("Invalid code_challenge_method parameter: it has to be “S256”.".to_owned());
        }
        check_redirect(&self.redirect_uri)
    }

    fn decide(&self, world: &mut World, user: Option<&str>) -> Result<String, String> {
        self.check(world)?;
        let answer = match user {
            None => ("error", "access_denied".to_owned()),
            Some(user) => {
                let team = world.home_of(user).map(|home| home.id.clone());
                let sign_in = SignIn {
                    user: user.to_owned(),
                    team: team.ok_or_else(|| format!("There is no person “{user}” here."))?,
                    redirect_uri: self.redirect_uri.clone(),
                    with_email: self.scope.split([' ', ',']).any(|scope| scope == "email"),
                    nonce: self.nonce.clone(),
                    challenge: self.code_challenge.clone(),
                };
                ("code", world.issue_sign_in(sign_in))
            }
        };
        send_back(&self.redirect_uri, answer, self.state.as_deref())
    }
}

fn page(world: &World, ask: &Ask) -> String {
    let app = escape(&world.settings.app_name);
    let wanted = ask.team.as_deref().filter(|team| world.teams.contains_key(*team));
    let teams = world.teams.values().filter(|team| wanted.is_none_or(|wanted| team.id == wanted));
    let option = |team: &str, id: &str, name: &str| {
        format!(r#"<option value="{}">{} – {}</option>"#, escape(id), escape(name), escape(team))
    };
    let people: String =
        teams.flat_map(|team| team.people.iter().map(|one| option(&team.name, &one.id, &one.name))).collect();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (state, nonce, challenge, method) =
        (text(&ask.state), text(&ask.nonce), text(&ask.code_challenge), text(&ask.code_challenge_method));
    let mut fields = vec![
        ("client_id", ask.client_id.as_str()),
        ("response_type", &ask.response_type),
        ("scope", &ask.scope),
        ("redirect_uri", &ask.redirect_uri),
        ("state", &state),
    ];
    let optional =
        [("nonce", nonce.as_str()), ("code_challenge", &challenge), ("code_challenge_method", &method)];
    fields.extend(optional.into_iter().filter(|(_, value)| !value.is_empty()));
    let hidden = hidden(&fields);
    document(&format!(
        r#"<h1>Sign in to <b>{app}</b> with your workspace account</h1>
<form method="post" action="/openid/connect/authorize">{hidden}
<label>You are <select name="user" data-testid="sign-in-as">{people}</select></label>
<button name="decision" value="cancel" data-testid="cancel">Cancel</button>
<button class="primary" name="decision" value="allow" data-testid="allow">Allow</button></form>"#
    ))
}
