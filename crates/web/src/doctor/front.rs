//! The public address, as Slack and people come by it.

use hyper::StatusCode;
use url::Url;

use super::setup::Setup;
use super::tls::{self, Answer};
use super::{Finding, Look};

/// A certificate is renewed weeks before it ends.
const DAYS_LEFT: i64 = 14;

/// The certificate of `SLACK_REDIRECT_URI`.
pub(super) async fn certificate(setup: &Setup) -> Look {
    let origin = origin(setup)?;
    if origin.scheme() != "https" {
        let todo = "put a proxy with TLS in front (deploy/nginx), and its address into SLACK_REDIRECT_URI";
        return Ok(vec![Finding::warn("none: the public address is http, on this machine alone", todo)]);
    }
    let answer = ask(&origin, "GET", "/health").await?;
    Ok(vec![judge(&answer)])
}

fn judge(answer: &Answer) -> Finding {
    let todo = "renew it, and let the proxy load it (nginx -s reload)";
    match (&answer.distrust, answer.days_left) {
        (_, Some(days)) if days < 0 => Finding::fault(format!("it ended {} day(s) ago", -days - 1), todo),
        (Some(why), _) => Finding::fault(
            format!("it is not trusted here: {why}"),
            "let the proxy send its whole chain, of an authority that browsers know, for this name",
        ),
        (None, Some(days)) if days < DAYS_LEFT => Finding::fault(format!("it ends in {days} day(s)"), todo),
        (None, Some(days)) => Finding::ok(format!("trusted, and good for {days} days")),
        (None, None) => Finding::ok("trusted"),
    }
}

/// Whether the address leads to both services, and keeps browsers on https.
pub(super) async fn address(setup: &Setup) -> Look {
    let origin = origin(setup)?;
    let mut findings = Vec::new();
    let web = ask(&origin, "GET", "/health").await?;
    if web.status != StatusCode::OK {
        findings.push(Finding::fault(
            format!("{origin}health answers {}", web.status),
            "let the proxy send all but api's paths to web",
        ));
    }
    if origin.scheme() == "https" && !web.is_strict {
        findings.push(Finding::fault(
            "no Strict-Transport-Security: browsers may be led back to http",
            "let the proxy pass web's header on, or set it",
        ));
    }
    // Nobody signed this, so it is refused, and by nobody but api.
    let api = ask(&origin, "POST", "/slack/events").await?;
    let told = format!("{origin}slack/events answers {} to what is not signed, and not 401", api.status);
    let todo = "let the proxy send /slack/events, /slack/interactions, /slack/commands and /api/ to api";
    match api.status {
        StatusCode::UNAUTHORIZED => {}
        status if status.is_server_error() => findings.push(Finding::fault(told, todo)),
        // It may have a host of its own, as in deploy/nginx/two-hosts.conf.
        _ => findings.push(Finding::warn(told, format!("{todo}, unless that has a host of its own"))),
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("{origin} leads to web and to api")));
    }
    Ok(findings)
}

fn origin(setup: &Setup) -> Result<Url, Finding> {
    let Some(uri) = &setup.redirect_uri else {
        return Err(Finding::unseen("SLACK_REDIRECT_URI cannot be read"));
    };
    uri.join("/").map_err(|_| Finding::unseen("SLACK_REDIRECT_URI cannot be read"))
}

async fn ask(origin: &Url, method: &str, path: &str) -> Result<Answer, Finding> {
    let url = origin.join(path).map_err(|_| Finding::unseen("SLACK_REDIRECT_URI cannot be read"))?;
    tls::ask(&url, method).await.map_err(|error| {
        Finding::fault(
            format!("{origin} is not reached from here: {error}"),
            "see the name, the proxy and the firewall",
        )
    })
}
