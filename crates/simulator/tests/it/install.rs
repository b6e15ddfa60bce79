//! Consent, code exchange and uninstall.

use anyhow::Context;
use serde_json::Value;
use simulator::{Simulator, SimulatorSettings};
use url::Url;

use crate::fake_app::FakeApp;

const INSTALL_CALLBACK_URL: &str = "http://127.0.0.1:8000/slack/oauth/callback";

fn authorize_url(sim: &Simulator, change: &[(&str, &str)]) -> anyhow::Result<Url> {
    let client_id = SimulatorSettings::default().client_id;
    let mut query = vec![
        ("client_id", client_id.as_str()),
        ("scope", "chat:write,im:history"),
        ("redirect_uri", INSTALL_CALLBACK_URL),
    ];
    query.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
    query.extend(change);
    query.push(("state", "s t"));
    Ok(Url::parse_with_params(&format!("{}/oauth/v2/authorize", sim.base_url()), query)?)
}

fn query_param(url: &str, name: &str) -> anyhow::Result<String> {
    let url = Url::parse(url)?;
    let value = url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    value.with_context(|| format!("no {name} in {url}"))
}

async fn exchange_code(sim: &Simulator, code: &str, redirect: &str, secret: &str) -> anyhow::Result<Value> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let request = http
        .post(format!("{}/api/oauth.v2.access", sim.base_url()))
        .basic_auth(SimulatorSettings::default().client_id, Some(secret))
        .form(&[("code", code), ("redirect_uri", redirect)]);
    Ok(request.send().await?.json().await?)
}

#[tokio::test]
async fn install_code_is_single_use() -> anyhow::Result<()> {
    let sim = Simulator::start(SimulatorSettings::default()).await?;
    let secret = SimulatorSettings::default().client_secret;
    let back = sim.allow(authorize_url(&sim, &[])?.as_str())?;
    assert!(back.starts_with(INSTALL_CALLBACK_URL));
    assert_eq!(query_param(&back, "state")?, "s t");
    let code = query_param(&back, "code")?;
    assert_eq!(
        exchange_code(&sim, &code, INSTALL_CALLBACK_URL, "wrong").await?["error"],
        "bad_client_secret"
    );
    let installed = exchange_code(&sim, &code, INSTALL_CALLBACK_URL, &secret).await?;
    assert_eq!(installed["ok"], true);
    assert_eq!(installed["team"]["id"], "T0ACME");
    assert_eq!(installed["scope"], "chat:write,im:history");
    assert_eq!(installed["authed_user"]["id"], "U0ADA");
    assert_eq!(installed["enterprise"], Value::Null);
    assert_eq!(exchange_code(&sim, &code, INSTALL_CALLBACK_URL, &secret).await?["error"], "invalid_code");
    let back = sim.allow(authorize_url(&sim, &[("scope", "users:read")])?.as_str())?;
    let code = query_param(&back, "code")?;
    let again = exchange_code(&sim, &code, INSTALL_CALLBACK_URL, &secret).await?;
    assert_eq!(again["scope"], "chat:write,im:history,users:read");
    let back = sim.allow(authorize_url(&sim, &[])?.as_str())?;
    let code = query_param(&back, "code")?;
    assert_eq!(exchange_code(&sim, &code, "http://localhost/", &secret).await?["error"], "bad_redirect_uri");
    assert_eq!(query_param(&sim.deny(authorize_url(&sim, &[])?.as_str())?, "error")?, "access_denied");
    Ok(())
}

#[tokio::test]
async fn consent_page_redirects_with_code() -> anyhow::Result<()> {
    let sim = Simulator::start(SimulatorSettings::default()).await?;
    let redirects = reqwest::redirect::Policy::none();
    let http = reqwest::Client::builder().no_proxy().redirect(redirects).build()?;
    let page = http.get(authorize_url(&sim, &[])?).send().await?.text().await?;
    assert!(page.contains("data-testid=\"allow\"") && page.contains("Send messages as itself"));
    let url = authorize_url(&sim, &[])?;
    let mut form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    form.push(("decision".into(), "allow".into()));
    let answer = http.post(format!("{}/oauth/v2/authorize", sim.base_url())).form(&form).send().await?;
    assert_eq!(answer.status(), 302);
    query_param(answer.headers()["location"].to_str()?, "code")?;
    for wrong in [
        ("client_id", "1.2"),
        ("scope", ""),
        ("scope", "<b>"),
        ("redirect_uri", "http://example.com/"),
        ("redirect_uri", "nonsense"),
        ("team", "T404"),
    ] {
        let answer = http.get(authorize_url(&sim, &[wrong])?).send().await?;
        assert_eq!(answer.status(), 400, "{wrong:?}");
        assert!(!answer.text().await?.contains("<b>"), "{wrong:?}");
    }
    Ok(())
}

#[tokio::test]
async fn uninstall_sends_events_and_revokes_token() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.uninstall("T0ACME");
    let events = app.received(2).await?;
    let mut kinds: Vec<_> = events.iter().map(|event| event.envelope["event"]["type"].to_string()).collect();
    kinds.sort();
    assert_eq!(kinds, ["\"app_uninstalled\"", "\"tokens_revoked\""]);
    assert_eq!(app.call_error("auth.test", Value::Null).await?, "json_not_object");
    assert_eq!(app.call_error("auth.test", serde_json::json!({})).await?, "account_inactive");
    app.post_as_ada("D0ADA", "anyone?")?;
    let token = app.sim.install("T0ACME", &crate::fake_app::BOT_SCOPES)?.token;
    assert_ne!(token, app.token);
    assert_eq!(app.received(2).await?.len(), 2);
    Ok(())
}
