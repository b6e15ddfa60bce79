//! Token expiry, refresh and revocation.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::SimulatorSettings;

use crate::fake_app::{BOT_SCOPES, FakeApp};

async fn refresh_token(app: &FakeApp, refresh_token: &str) -> anyhow::Result<Value> {
    let SimulatorSettings { client_id, client_secret, .. } = SimulatorSettings::default();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    let request = app.http.post(format!("{}/api/oauth.v2.access", app.sim.base_url()));
    Ok(request.basic_auth(client_id, Some(client_secret)).form(&form).send().await?.json().await?)
}

async fn start_rotating() -> anyhow::Result<(FakeApp, String)> {
    let app =
        FakeApp::start_with(|settings| settings.token_lifetime = Some(Duration::from_secs(43_200))).await?;
    let bot = app.sim.installation("T0ACME").unwrap_or_default();
    Ok((app, bot.refresh_token.unwrap_or_default()))
}

#[tokio::test]
async fn refresh_token_is_single_use() -> anyhow::Result<()> {
    let (mut app, first) = start_rotating().await?;
    assert!(app.token.starts_with("xoxe.xoxb-") && first.starts_with("xoxe-1-"));
    app.sim.expire_tokens("T0ACME");
    assert_eq!(app.call_error("auth.test", json!({})).await?, "token_expired");
    let pair = refresh_token(&app, &first).await?;
    assert_eq!(pair["ok"], true, "{pair}");
    assert_eq!((&pair["token_type"], &pair["expires_in"]), (&json!("bot"), &json!(43_200)));
    assert_eq!((&pair["team"]["id"], &pair["enterprise"]), (&json!("T0ACME"), &Value::Null));
    assert_eq!(pair["bot_user_id"], "U0BOT0ACME");
    assert_ne!(pair["refresh_token"], first);
    assert_eq!(refresh_token(&app, &first).await?["error"], "invalid_refresh_token");
    app.token = pair["access_token"].as_str().unwrap_or_default().to_owned();
    assert_eq!(app.call("auth.test", json!({})).await?["ok"], true);
    let calls = app.sim.calls();
    let refreshed = calls.iter().filter(|call| call.args["grant_type"] == "refresh_token" && call.is_ok);
    assert_eq!(refreshed.map(|call| call.tenant.as_deref()).collect::<Vec<_>>(), [Some("T0ACME")]);
    assert!(calls.iter().all(|call| call.args.get("refresh_token").is_none()));
    Ok(())
}

#[tokio::test]
async fn two_access_tokens_work_concurrently() -> anyhow::Result<()> {
    let (mut app, first) = start_rotating().await?;
    let second = refresh_token(&app, &first).await?;
    assert_eq!(app.call("auth.test", json!({})).await?["ok"], true);
    refresh_token(&app, second["refresh_token"].as_str().unwrap_or_default()).await?;
    assert_eq!(app.call_error("auth.test", json!({})).await?, "token_revoked");
    app.token = second["access_token"].as_str().unwrap_or_default().to_owned();
    assert_eq!(app.call("auth.revoke", json!({})).await?["revoked"], true);
    assert_eq!(app.call_error("auth.test", json!({})).await?, "token_revoked");
    // With token rotation this revoked the token, not the installation.
    assert!(app.sim.installation("T0ACME").is_some());
    Ok(())
}

#[tokio::test]
async fn tokens_are_revoked_without_uninstall() -> anyhow::Result<()> {
    let (mut app, first) = start_rotating().await?;
    app.sim.revoke_tokens("T0ACME");
    let events = app.received(1).await?;
    assert_eq!(events[0].envelope["event"]["type"], "tokens_revoked");
    assert_eq!(events[0].envelope["event"]["tokens"], json!({"oauth": [], "bot": ["U0BOT0ACME"]}));
    assert_eq!(app.call_error("auth.test", json!({})).await?, "token_revoked");
    assert_eq!(refresh_token(&app, &first).await?["error"], "invalid_refresh_token");
    app.token = app.sim.install("T0ACME", &BOT_SCOPES)?.token;
    assert_eq!(app.call("auth.test", json!({})).await?["ok"], true);
    assert_eq!(app.received(1).await?.len(), 1);
    Ok(())
}
