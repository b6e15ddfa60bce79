//! The public address, as Slack and people come by it.

use hyper::StatusCode;
use url::Url;

use super::config::DoctorConfig;
use super::tls::{self, ProbeResponse};
use super::{CheckResult, Finding};

/// A certificate is renewed weeks before it ends.
const MIN_CERTIFICATE_DAYS: i64 = 14;

/// The certificate of `SLACK_REDIRECT_URI`.
pub(super) async fn check_certificate(setup: &DoctorConfig) -> CheckResult {
    let origin = public_origin(setup)?;
    if origin.scheme() != "https" {
        let todo = "put a proxy with TLS in front (deploy/nginx), and its address into SLACK_REDIRECT_URI";
        return Ok(vec![Finding::warn("none: the public address is http, on this machine alone", todo)]);
    }
    let answer = probe_public_url(&origin, "GET", "/health").await?;
    Ok(vec![evaluate_certificate(&answer)])
}

fn evaluate_certificate(answer: &ProbeResponse) -> Finding {
    let todo = "renew it, and let the proxy load it (nginx -s reload)";
    match (&answer.trust_error, answer.days_left) {
        (_, Some(days)) if days < 0 => Finding::fault(format!("it ended {} day(s) ago", -days - 1), todo),
        (Some(why), _) => Finding::fault(
            format!("it is not trusted here: {why}"),
            "let the proxy send its whole chain, of an authority that browsers know, for this name",
        ),
        (None, Some(days)) if days < MIN_CERTIFICATE_DAYS => {
            Finding::fault(format!("it ends in {days} day(s)"), todo)
        }
        (None, Some(days)) => Finding::ok(format!("trusted, and good for {days} days")),
        (None, None) => Finding::ok("trusted"),
    }
}

/// Whether the address leads to both services, and keeps browsers on https.
pub(super) async fn check_public_url(setup: &DoctorConfig) -> CheckResult {
    let origin = public_origin(setup)?;
    let mut findings = Vec::new();
    let web = probe_public_url(&origin, "GET", "/health").await?;
    if web.status != StatusCode::OK {
        findings.push(Finding::fault(
            format!("{origin}health answers {}", web.status),
            "let the proxy send all but api's paths to web",
        ));
    }
    if origin.scheme() == "https" && !web.has_hsts {
        findings.push(Finding::fault(
            "no Strict-Transport-Security: browsers may be led back to http",
            "let the proxy pass web's header on, or set it",
        ));
    }
    // Nobody signed this, so it is refused, and by nobody but api.
    let api = probe_public_url(&origin, "POST", "/slack/events").await?;
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

fn public_origin(setup: &DoctorConfig) -> Result<Url, Finding> {
    let Some(uri) = &setup.redirect_uri else {
        return Err(Finding::skipped("SLACK_REDIRECT_URI cannot be read"));
    };
    uri.join("/").map_err(|_| Finding::skipped("SLACK_REDIRECT_URI cannot be read"))
}

async fn probe_public_url(origin: &Url, method: &str, path: &str) -> Result<ProbeResponse, Finding> {
    let url = origin.join(path).map_err(|_| Finding::skipped("SLACK_REDIRECT_URI cannot be read"))?;
    tls::probe(&url, method).await.map_err(|error| {
        Finding::fault(
            format!("{origin} is not reached from here: {error}"),
            "see the name, the proxy and the firewall",
        )
    })
}
