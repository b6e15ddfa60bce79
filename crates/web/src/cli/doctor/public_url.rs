//! Checks of the public address, as Slack and browsers reach it.

use hyper::StatusCode;
use url::Url;

use super::config::DoctorConfig;
use super::finding::{CheckResult, Finding};
use super::tls::{self, ProbeResponse};

/// Certificates are renewed weeks before they expire; with less time left than this, the renewal has failed.
const MIN_CERTIFICATE_DAYS: i64 = 14;

/// Checks the certificate of `SLACK_REDIRECT_URI`.
pub(super) async fn check_certificate(setup: &DoctorConfig) -> CheckResult {
    let origin = public_origin(setup)?;
    if origin.scheme() != "https" {
        let remedy = "set up a proxy with TLS (deploy/nginx), and use its address in SLACK_REDIRECT_URI";
        return Ok(vec![Finding::warn("none: the public address is http on this machine", remedy)]);
    }
    let response = probe_public_url(&origin, "GET", "/health").await?;
    Ok(vec![evaluate_certificate(&response)])
}

fn evaluate_certificate(response: &ProbeResponse) -> Finding {
    let remedy = "renew it, and reload the proxy (nginx -s reload)";
    match (&response.trust_error, response.days_left) {
        (_, Some(days)) if days < 0 => Finding::fault(format!("expired {} day(s) ago", -days - 1), remedy),
        (Some(reason), _) => Finding::fault(
            format!("not trusted here: {reason}"),
            "use a certificate of a public authority for this name, and send the whole chain",
        ),
        (None, Some(days)) if days < MIN_CERTIFICATE_DAYS => {
            Finding::fault(format!("expires in {days} day(s)"), remedy)
        }
        (None, Some(days)) => Finding::ok(format!("trusted, valid for {days} days")),
        (None, None) => Finding::ok("trusted"),
    }
}

/// Checks that the address reaches both services, and that browsers are kept on https.
pub(super) async fn check_public_url(setup: &DoctorConfig) -> CheckResult {
    let origin = public_origin(setup)?;
    let mut findings = Vec::new();
    let web = probe_public_url(&origin, "GET", "/health").await?;
    if web.status != StatusCode::OK {
        findings.push(Finding::fault(
            format!("{origin}health returned {}", web.status),
            "route everything except api's paths to web",
        ));
    }
    if origin.scheme() == "https" && !web.has_hsts {
        findings.push(Finding::fault(
            "no Strict-Transport-Security: browsers may be redirected to http",
            "pass web's header through the proxy, or set it there",
        ));
    }
    // The request is not signed, so api rejects it with 401; nothing else does.
    let api = probe_public_url(&origin, "POST", "/slack/events").await?;
    let found = format!("{origin}slack/events returned {} to an unsigned request instead of 401", api.status);
    let remedy = "route /slack/events, /slack/interactions, /slack/commands and /api/ to api";
    match api.status {
        StatusCode::UNAUTHORIZED => {}
        status if status.is_server_error() => findings.push(Finding::fault(found, remedy)),
        // `api` may have a separate host, as in deploy/nginx/two-hosts.conf.
        _ => findings.push(Finding::warn(found, format!("{remedy}, unless api has a separate host"))),
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("{origin} reaches web and api")));
    }
    Ok(findings)
}

fn public_origin(setup: &DoctorConfig) -> Result<Url, Finding> {
    let Some(uri) = &setup.redirect_uri else {
        return Err(Finding::skipped("SLACK_REDIRECT_URI is not set or malformed"));
    };
    uri.join("/").map_err(|_| Finding::skipped("SLACK_REDIRECT_URI is not set or malformed"))
}

async fn probe_public_url(origin: &Url, method: &str, path: &str) -> Result<ProbeResponse, Finding> {
    let url =
        origin.join(path).map_err(|_| Finding::skipped("SLACK_REDIRECT_URI is not set or malformed"))?;
    tls::probe(&url, method).await.map_err(|error| {
        Finding::fault(
            format!("{origin} cannot be reached from here: {error}"),
            "check the DNS name, the proxy and the firewall",
        )
    })
}
