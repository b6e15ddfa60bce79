//! The page on which an admin allows the app (<https://docs.slack.dev/authentication/installing-with-oauth>).

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::{Form, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::{Router, routing::get};
use serde::Deserialize;
use url::Url;

use crate::fake_slack::{FakeSlack, InstallGrant};
use crate::html::{
    error_page, escape_html, hidden_inputs, html_page, redirect_location, validate_redirect_uri,
};
use crate::state::SimulatorState;

/// The supported bot scopes with their descriptions.
const SCOPE_DESCRIPTIONS: &[(&str, &str)] = &[
    ("app_mentions:read", "See messages that mention it"),
    ("assistant:write", "Act as an assistant: show its status, titles and suggested prompts"),
    ("channels:history", "Read messages in public channels it has been added to"),
    ("channels:join", "Join public channels"),
    ("channels:read", "See which public channels there are"),
    ("chat:write", "Send messages as itself"),
    ("chat:write.customize", "Send messages under another name and picture"),
    ("chat:write.public", "Send messages to channels it is not in"),
    ("commands", "Add slash commands"),
    ("files:read", "See files in conversations it has been added to"),
    ("files:write", "Upload and change files"),
    ("groups:history", "Read messages in private channels it has been added to"),
    ("groups:read", "See the private channels it has been added to"),
    ("im:history", "Read the direct messages people send it"),
    ("im:read", "See the direct messages it is in"),
    ("im:write", "Start direct messages with people"),
    ("mpim:history", "Read group messages it has been added to"),
    ("mpim:read", "See the group messages it is in"),
    ("mpim:write", "Start group messages with people"),
    ("reactions:read", "See reactions to messages"),
    ("reactions:write", "Add reactions to messages"),
    ("team:read", "See the workspace's name and address"),
    ("users:read", "See who is in the workspace"),
    ("users:read.email", "See people's e-mail addresses"),
];

/// The request parameters in the URL.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConsentRequest {
    client_id: String,
    scope: String,
    redirect_uri: String,
    state: Option<String>,
    team: Option<String>,
    /// The person who decides; by default the team's admin.
    user: Option<String>,
}

/// A person's decision.
#[derive(Clone, Copy)]
pub(crate) enum ConsentDecision {
    Cancel,
    Allow,
    /// Approve for all workspaces of the team's organisation.
    AllowOrgWide,
}

/// The form of the page: the request and the decision.
#[derive(Deserialize)]
struct ConsentForm {
    #[serde(flatten)]
    request: ConsentRequest,
    decision: String,
}

pub(crate) fn routes() -> Router<Arc<SimulatorState>> {
    Router::new().route("/oauth/v2/authorize", get(show_consent).post(submit_consent))
}

async fn show_consent(
    State(shared): State<Arc<SimulatorState>>,
    Query(ask): Query<ConsentRequest>,
) -> Response {
    shared.with(|slack| match ask.check(slack) {
        Ok(grant) => Html(render_consent(slack, &ask, &grant)).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, Html(error_page(&why))).into_response(),
    })
}

async fn submit_consent(
    State(shared): State<Arc<SimulatorState>>,
    Form(form): Form<ConsentForm>,
) -> Response {
    let decision = match form.decision.as_str() {
        "allow" => ConsentDecision::Allow,
        "allow_org_wide" => ConsentDecision::AllowOrgWide,
        _ => ConsentDecision::Cancel,
    };
    match shared.with(|slack| form.request.decide(slack, decision)) {
        Ok(location) => (StatusCode::FOUND, [(header::LOCATION, location)]).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, Html(error_page(&why))).into_response(),
    }
}

/// Submits a consent page as a person; returns the redirect address.
pub(crate) fn decide(
    slack: &mut FakeSlack,
    authorize_url: &str,
    decision: ConsentDecision,
) -> anyhow::Result<String> {
    let url = Url::parse(authorize_url).context("no address of a consent page")?;
    let ask: ConsentRequest = serde_urlencoded::from_str(url.query().unwrap_or_default())?;
    ask.decide(slack, decision).map_err(anyhow::Error::msg)
}

impl ConsentRequest {
    /// Returns the requested grant, or a sentence that explains why the address is invalid.
    fn check(&self, slack: &FakeSlack) -> Result<InstallGrant, String> {
        if self.client_id != slack.settings.client_id {
            return Err(format!("Invalid client_id parameter: there is no app “{}” here.", self.client_id));
        }
        let scopes: BTreeSet<String> =
            self.scope.split([',', ' ']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        if scopes.is_empty() {
            return Err("Invalid scope parameter: the app requests no bot scopes.".to_owned());
        }
        if let Some(unknown) = scopes.iter().find(|scope| find_scope_description(scope).is_none()) {
            return Err(format!("Invalid scope parameter: “{unknown}” is no bot scope."));
        }
        validate_redirect_uri(&self.redirect_uri)?;
        let first = slack.teams.keys().next().cloned().unwrap_or_default();
        let team = self.team.clone().filter(|team| !team.is_empty()).unwrap_or(first);
        let user = self
            .user
            .clone()
            .or_else(|| slack.find_admin(&team))
            .ok_or_else(|| format!("There is no workspace “{team}” here."))?;
        Ok(InstallGrant { team, enterprise: None, user, scopes, redirect_uri: self.redirect_uri.clone() })
    }

    fn decide(&self, slack: &mut FakeSlack, decision: ConsentDecision) -> Result<String, String> {
        let mut grant = self.check(slack)?;
        if matches!(decision, ConsentDecision::AllowOrgWide) {
            let enterprise = slack.find_enterprise(&grant.team).map(|enterprise| enterprise.id.clone());
            grant.enterprise = Some(enterprise.ok_or("This workspace is not part of an organization.")?);
        }
        let answer = match decision {
            ConsentDecision::Cancel => ("error", "access_denied".to_owned()),
            ConsentDecision::Allow | ConsentDecision::AllowOrgWide => {
                ("code", slack.issue_install_code(grant))
            }
        };
        redirect_location(&self.redirect_uri, answer, self.state.as_deref())
    }
}

fn find_scope_description(scope: &str) -> Option<&'static str> {
    SCOPE_DESCRIPTIONS.iter().find(|(name, _)| *name == scope).map(|(_, meaning)| *meaning)
}

fn render_consent(slack: &FakeSlack, ask: &ConsentRequest, grant: &InstallGrant) -> String {
    let app = escape_html(&slack.settings.app_name);
    let team = slack.teams.get(&grant.team).map(|team| escape_html(&team.name)).unwrap_or_default();
    let org_wide = slack.find_enterprise(&grant.team).map(|enterprise| {
        let name = escape_html(&enterprise.name);
        format!(r#"<button name="decision" value="allow_org_wide">Allow for all of {name}</button>"#)
    });
    let org_wide = org_wide.unwrap_or_default();
    let scopes: String = grant
        .scopes
        .iter()
        .map(|scope| {
            let meaning = find_scope_description(scope).unwrap_or_default();
            format!("<li>{}<code>{}</code></li>", escape_html(meaning), escape_html(scope))
        })
        .collect();
    let hidden = hidden_inputs(&[
        ("client_id", &ask.client_id),
        ("scope", &ask.scope),
        ("redirect_uri", &ask.redirect_uri),
        ("state", ask.state.as_deref().unwrap_or_default()),
        ("team", &grant.team),
    ]);
    html_page(&format!(
        r#"<h1>{app} would like to join <b>{team}</b></h1>
<p>It will be able to:</p><ul>{scopes}</ul>
<form method="post" action="/oauth/v2/authorize">{hidden}
<button name="decision" value="cancel" data-testid="cancel">Cancel</button>{org_wide}
<button class="primary" name="decision" value="allow" data-testid="allow">Allow</button></form>"#
    ))
}
