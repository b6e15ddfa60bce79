//! Shared HTML of the consent and sign-in pages.

use url::{Host, Url};

/// Wraps content in a page.
pub(crate) fn html_page(body: &str) -> String {
    format!(
        r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Slack simulator</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="icon" href="/assets/favicon.svg"><link rel="stylesheet" href="/assets/base.css">
<link rel="stylesheet" href="/assets/consent.css"></head>
<body class="consent"><main>{body}</main><p class="mark">Slack simulator – not Slack</p></body></html>"#
    )
}

/// A page that explains why an address is invalid.
pub(crate) fn error_page(why: &str) -> String {
    html_page(&format!(
        "<h1>Something is wrong with this address</h1><p>{}</p><p><a href=\"/\">To the workspace</a></p>",
        escape_html(why)
    ))
}

/// Hidden form fields for the URL's parameters.
pub(crate) fn hidden_inputs(fields: &[(&str, &str)]) -> String {
    let field = |(name, value): &(&str, &str)| {
        format!(r#"<input type="hidden" name="{name}" value="{}">"#, escape_html(value))
    };
    fields.iter().map(field).collect()
}

/// Escapes text for HTML.
pub(crate) fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Rejects a redirect address that Slack rejects: it must be https except on loopback.
pub(crate) fn validate_redirect_uri(address: &str) -> Result<(), String> {
    let bad = |why: &str| format!("Invalid redirect_uri parameter: “{address}” {why}.");
    let url = Url::parse(address).map_err(|_| bad("is no address"))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && loopback) {
        Ok(())
    } else {
        Err(bad("must be https, except on loopback"))
    }
}

/// Builds the redirect address with the code or error and the state.
pub(crate) fn redirect_location(
    address: &str,
    answer: (&str, String),
    state: Option<&str>,
) -> Result<String, String> {
    let mut url = Url::parse(address).map_err(|error| error.to_string())?;
    url.query_pairs_mut().append_pair(answer.0, &answer.1).append_pair("state", state.unwrap_or_default());
    Ok(url.into())
}
