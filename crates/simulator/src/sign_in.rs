//! Sign in with Slack: the consent page and the token verification keys.
//! Source: <https://docs.slack.dev/authentication/sign-in-with-slack>

use std::sync::Arc;

use anyhow::Context;
use axum::extract::{Form, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde::Deserialize;
use url::Url;

use crate::fake_slack::{ApprovedSignIn, FakeSlack};
use crate::html::{
    error_page, escape_html, hidden_inputs, html_page, redirect_location, validate_redirect_uri,
};
use crate::state::SimulatorState;

/// The request parameters in the URL.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SignInRequest {
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

/// The form of the page: the request, the decision and the person.
#[derive(Deserialize)]
struct SignInForm {
    #[serde(flatten)]
    request: SignInRequest,
    decision: String,
    user: String,
}

pub(crate) fn routes() -> Router<Arc<SimulatorState>> {
    Router::new()
        .route("/openid/connect/authorize", get(show_sign_in).post(submit_sign_in))
        .route("/openid/connect/keys", get(show_keys))
}

async fn show_sign_in(
    State(shared): State<Arc<SimulatorState>>,
    Query(ask): Query<SignInRequest>,
) -> Response {
    shared.with(|slack| match ask.check(slack) {
        Ok(()) => Html(render_sign_in(slack, &ask)).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, Html(error_page(&why))).into_response(),
    })
}

async fn submit_sign_in(State(shared): State<Arc<SimulatorState>>, Form(form): Form<SignInForm>) -> Response {
    let user = (form.decision == "allow").then_some(form.user.as_str());
    match shared.with(|slack| form.request.decide(slack, user)) {
        Ok(location) => (StatusCode::FOUND, [(header::LOCATION, location)]).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, Html(error_page(&why))).into_response(),
    }
}

async fn show_keys(State(shared): State<Arc<SimulatorState>>) -> Response {
    match shared.with(FakeSlack::id_token_key) {
        Ok(key) => Json(key.jwks()).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Submits a sign-in page as this person, or cancels for `None`; returns the redirect address.
pub(crate) fn decide(
    slack: &mut FakeSlack,
    authorize_url: &str,
    user: Option<&str>,
) -> anyhow::Result<String> {
    let url = Url::parse(authorize_url).context("no address of a sign-in page")?;
    let ask: SignInRequest = serde_urlencoded::from_str(url.query().unwrap_or_default())?;
    ask.decide(slack, user).map_err(anyhow::Error::msg)
}

impl SignInRequest {
    fn check(&self, slack: &FakeSlack) -> Result<(), String> {
        if self.client_id != slack.settings.client_id {
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
        validate_redirect_uri(&self.redirect_uri)
    }

    fn decide(&self, slack: &mut FakeSlack, user: Option<&str>) -> Result<String, String> {
        self.check(slack)?;
        let answer = match user {
            None => ("error", "access_denied".to_owned()),
            Some(user) => {
                let team = slack.find_home_team(user).map(|home| home.id.clone());
                let sign_in = ApprovedSignIn {
                    user: user.to_owned(),
                    team: team.ok_or_else(|| format!("There is no person “{user}” here."))?,
                    redirect_uri: self.redirect_uri.clone(),
                    is_email_requested: self.scope.split([' ', ',']).any(|scope| scope == "email"),
                    nonce: self.nonce.clone(),
                    code_challenge: self.code_challenge.clone(),
                };
                ("code", slack.issue_sign_in_code(sign_in))
            }
        };
        redirect_location(&self.redirect_uri, answer, self.state.as_deref())
    }
}

fn render_sign_in(slack: &FakeSlack, ask: &SignInRequest) -> String {
    let app = escape_html(&slack.settings.app_name);
    let wanted = ask.team.as_deref().filter(|team| slack.teams.contains_key(*team));
    let teams = slack.teams.values().filter(|team| wanted.is_none_or(|wanted| team.id == wanted));
    let option = |team: &str, id: &str, name: &str| {
        format!(
            r#"<option value="{}">{} – {}</option>"#,
            escape_html(id),
            escape_html(name),
            escape_html(team)
        )
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
    let hidden = hidden_inputs(&fields);
    html_page(&format!(
        r#"<h1>Sign in to <b>{app}</b> with your workspace account</h1>
<form method="post" action="/openid/connect/authorize">{hidden}
<label>You are <select name="user" data-testid="sign-in-as">{people}</select></label>
<button name="decision" value="cancel" data-testid="cancel">Cancel</button>
<button class="primary" name="decision" value="allow" data-testid="allow">Allow</button></form>"#
    ))
}
