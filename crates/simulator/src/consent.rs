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

use crate::document::{check_redirect, document, escape, hidden, refusal, send_back};
use crate::shared::Shared;
use crate::world::{Grant, World};

/// The bot scopes there are here, in plain words.
const SCOPES: &[(&str, &str)] = &[
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

/// What the app asks for, in the address.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Ask {
    client_id: String,
    scope: String,
    redirect_uri: String,
    state: Option<String>,
    team: Option<String>,
}

/// What a person answers.
#[derive(Clone, Copy)]
pub(crate) enum Decided {
    Cancel,
    Allow,
    /// For all workspaces of the team's organisation.
    AllowOrgWide,
}

/// The form of the page: what was asked, and the answer.
#[derive(Deserialize)]
struct Decision {
    #[serde(flatten)]
    ask: Ask,
    decision: String,
}

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/oauth/v2/authorize", get(ask).post(answer))
}

async fn ask(State(shared): State<Arc<Shared>>, Query(ask): Query<Ask>) -> Response {
    shared.with(|world| match ask.check(world) {
        Ok(grant) => Html(page(world, &ask, &grant)).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, Html(refusal(&why))).into_response(),
    })
}

async fn answer(State(shared): State<Arc<Shared>>, Form(form): Form<Decision>) -> Response {
    let decision = match form.decision.as_str() {
        "allow" => Decided::Allow,
        "allow_org_wide" => Decided::AllowOrgWide,
        _ => Decided::Cancel,
    };
    match shared.with(|world| form.ask.decide(world, decision)) {
        Ok(location) => (StatusCode::FOUND, [(header::LOCATION, location)]).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, Html(refusal(&why))).into_response(),
    }
}

/// Answers a consent page's address as a person would; where the browser goes then.
pub(crate) fn decide(world: &mut World, authorize_url: &str, decision: Decided) -> anyhow::Result<String> {
    let url = Url::parse(authorize_url).context("no address of a consent page")?;
    let ask: Ask = serde_urlencoded::from_str(url.query().unwrap_or_default())?;
    ask.decide(world, decision).map_err(anyhow::Error::msg)
}

impl Ask {
    /// What would be granted, or a sentence that says what is wrong with the address.
    fn check(&self, world: &World) -> Result<Grant, String> {
        if self.client_id != world.settings.client_id {
            return Err(format!("Invalid client_id parameter: there is no app “{}” here.", self.client_id));
        }
        let scopes: BTreeSet<String> =
            self.scope.split([',', ' ']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        if scopes.is_empty() {
            return Err("Invalid scope parameter: the app requests no bot scopes.".to_owned());
        }
        if let Some(unknown) = scopes.iter().find(|scope| meaning(scope).is_none()) {
            return Err(format!("Invalid scope parameter: “{unknown}” is no bot scope."));
        }
        check_redirect(&self.redirect_uri)?;
        let first = world.teams.keys().next().cloned().unwrap_or_default();
        let team = self.team.clone().filter(|team| !team.is_empty()).unwrap_or(first);
        let user = world.admin_of(&team).ok_or_else(|| format!("There is no workspace “{team}” here."))?;
        Ok(Grant { team, enterprise: None, user, scopes, redirect_uri: self.redirect_uri.clone() })
    }

    fn decide(&self, world: &mut World, decision: Decided) -> Result<String, String> {
        let mut grant = self.check(world)?;
        if matches!(decision, Decided::AllowOrgWide) {
            let enterprise = world.enterprise_of(&grant.team).map(|enterprise| enterprise.id.clone());
            grant.enterprise = Some(enterprise.ok_or("This workspace is not part of an organization.")?);
        }
        let answer = match decision {
            Decided::Cancel => ("error", "access_denied".to_owned()),
            Decided::Allow | Decided::AllowOrgWide => ("code", world.issue_code(grant)),
        };
        send_back(&self.redirect_uri, answer, self.state.as_deref())
    }
}

fn meaning(scope: &str) -> Option<&'static str> {
    SCOPES.iter().find(|(name, _)| *name == scope).map(|(_, meaning)| *meaning)
}

fn page(world: &World, ask: &Ask, grant: &Grant) -> String {
    let app = escape(&world.settings.app_name);
    let team = world.teams.get(&grant.team).map(|team| escape(&team.name)).unwrap_or_default();
    let org_wide = world.enterprise_of(&grant.team).map(|enterprise| {
        let name = escape(&enterprise.name);
        format!(r#"<button name="decision" value="allow_org_wide">Allow for all of {name}</button>"#)
    });
    let org_wide = org_wide.unwrap_or_default();
    let scopes: String = grant
        .scopes
        .iter()
        .map(|scope| {
            let meaning = meaning(scope).unwrap_or_default();
            format!("<li>{}<code>{}</code></li>", escape(meaning), escape(scope))
        })
        .collect();
    let hidden = hidden(&[
        ("client_id", &ask.client_id),
        ("scope", &ask.scope),
        ("redirect_uri", &ask.redirect_uri),
        ("state", ask.state.as_deref().unwrap_or_default()),
        ("team", &grant.team),
    ]);
    document(&format!(
        r#"<h1>{app} would like to join <b>{team}</b></h1>
<p>It will be able to:</p><ul>{scopes}</ul>
<form method="post" action="/oauth/v2/authorize">{hidden}
<button name="decision" value="cancel" data-testid="cancel">Cancel</button>{org_wide}
<button class="primary" name="decision" value="allow" data-testid="allow">Allow</button></form>"#
    ))
}
