//! Apps installed for an organisation of several workspaces.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{PostMessage, SimulatorSettings};
use url::Url;

use crate::fake_app::{BOT_SCOPES, FakeApp};

const ORG_ID: &str = "E0ORG";

/// The app, installed for an organisation and in none of its workspaces yet.
async fn start_org_wide() -> anyhow::Result<FakeApp> {
    let mut app = FakeApp::start().await?;
    app.sim.add_enterprise(ORG_ID, "Org", &["T0NORTH", "T0SOUTH"]);
    app.token =
        app.sim.install_org_wide(ORG_ID, &[&BOT_SCOPES[..], &["team:read", "channels:read"]].concat())?.token;
    Ok(app)
}

fn post(app: &FakeApp, text: &str) -> anyhow::Result<String> {
    app.sim.post(PostMessage {
        team: "T0NORTH".into(),
        channel: "general".into(),
        user: "U0ADANORTH".into(),
        text: text.into(),
        ..PostMessage::default()
    })
}

#[tokio::test]
async fn consent_grants_org_wide_install() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.add_enterprise(ORG_ID, "Org", &["T0NORTH", "T0SOUTH"]);
    let SimulatorSettings { client_id, client_secret, .. } = SimulatorSettings::default();
    let callback = "http://127.0.0.1:8000/slack/oauth/callback";
    let query = [("client_id", client_id.as_str()), ("scope", "chat:write"), ("redirect_uri", callback)];
    let url = Url::parse_with_params(&format!("{}/oauth/v2/authorize", app.sim.base_url()), query)?;
    let page = app.http.get(format!("{url}&team=T0NORTH")).send().await?.text().await?;
    assert!(page.contains("Allow for all of Org"));
    let exchange = async |back: String| {
        let code = Url::parse(&back)?
            .query_pairs()
            .find(|(key, _)| key == "code")
            .map(|(_, code)| code.into_owned());
        let form = [("code", code.unwrap_or_default()), ("redirect_uri", callback.to_owned())];
        let request = app.http.post(format!("{}/api/oauth.v2.access", app.sim.base_url()));
        let request = request.basic_auth(&client_id, Some(&client_secret)).form(&form);
        anyhow::Ok(request.send().await?.json::<Value>().await?)
    };
    let installed = exchange(app.sim.allow_org_wide(url.as_str(), ORG_ID)?).await?;
    assert_eq!(installed["is_enterprise_install"], true);
    assert_eq!(installed["team"], Value::Null);
    assert_eq!(installed["enterprise"], json!({"id": ORG_ID, "name": "Org"}));
    assert_eq!(installed["bot_user_id"], "U0BOT0ORG");
    let refused = exchange(app.sim.allow(&format!("{url}&team=T0NORTH"))?).await?;
    assert_eq!(refused["error"], "cannot_install_an_org_installed_app");
    Ok(())
}

#[tokio::test]
async fn org_wide_app_needs_team_grant() -> anyhow::Result<()> {
    let app = start_org_wide().await?;
    post(&app, "<@U0BOT0ORG> anyone?")?;
    let hello = json!({"channel": "C0GENERALNORTH", "text": "hello"});
    assert_eq!(app.call_error("chat.postMessage", hello.clone()).await?, "team_access_not_granted");
    app.sim.grant_team(ORG_ID, "T0NORTH")?;
    let granted = &app.received(1).await?[0].envelope;
    assert_eq!(granted["event"]["type"], "team_access_granted");
    assert_eq!(granted["event"]["team_ids"], json!(["T0NORTH"]));
    assert_eq!((&granted["enterprise_id"], &granted["team_id"]), (&json!(ORG_ID), &Value::Null));
    assert_eq!(app.call("chat.postMessage", hello.clone()).await?["ok"], true);
    let south = json!({"channel": "C0GENERALSOUTH", "text": "hello"});
    assert_eq!(app.call_error("chat.postMessage", south).await?, "team_access_not_granted");
    app.sim.revoke_team(ORG_ID, "T0NORTH")?;
    let revoked = app.received(3).await?.remove(2).envelope;
    assert_eq!(revoked["event"]["type"], "team_access_revoked");
    assert_eq!(app.call_error("chat.postMessage", hello).await?, "team_access_not_granted");
    Ok(())
}

#[tokio::test]
async fn org_event_names_workspace_and_organisation() -> anyhow::Result<()> {
    let app = start_org_wide().await?;
    app.sim.grant_team(ORG_ID, "T0NORTH")?;
    let ts = post(&app, "<@U0BOT0ORG> hello")?;
    for received in &app.received(3).await?[1..] {
        let envelope = &received.envelope;
        assert_eq!((&envelope["team_id"], &envelope["enterprise_id"]), (&json!("T0NORTH"), &json!(ORG_ID)));
        assert_eq!(
            envelope["authorizations"],
            json!([{"enterprise_id": ORG_ID, "team_id": null, "user_id": "U0BOT0ORG",
                    "is_bot": true, "is_enterprise_install": true}])
        );
        assert_eq!(envelope["event"]["ts"], ts);
        assert_eq!(envelope["is_ext_shared_channel"], false);
    }
    app.sim.uninstall(ORG_ID);
    let last = app.received(5).await?.remove(4).envelope;
    assert_eq!(last["authorizations"][0]["enterprise_id"], ORG_ID);
    assert_eq!(app.call_error("auth.test", json!({})).await?, "account_inactive");
    assert!(app.sim.installation("T0NORTH").is_none());
    Ok(())
}

#[tokio::test]
async fn org_token_requires_team_id() -> anyhow::Result<()> {
    let app = start_org_wide().await?;
    app.sim.grant_team(ORG_ID, "T0NORTH")?;
    for method in ["team.info", "users.conversations"] {
        assert_eq!(app.read(method, &[]).await?["error"], "missing_argument", "{method}");
        assert_eq!(app.read(method, &[("team_id", "T0NORTH")]).await?["ok"], true, "{method}");
        assert_eq!(app.read(method, &[("team_id", "T0SOUTH")]).await?["error"], "team_access_not_granted");
        assert_eq!(app.read(method, &[("team_id", "T0ACME")]).await?["error"], "team_not_found");
    }
    assert_eq!(app.call_error("chat.postMessage", json!({"channel": "general"})).await?, "team_not_found");
    let args = json!({"channel": "C0GENERALNORTH", "text": "hello", "team_id": "T0SOUTH"});
    assert_eq!(app.call("chat.postMessage", args).await?["ok"], true);
    let opened = app.call("conversations.open", json!({"users": "U0ADANORTH"})).await?;
    assert_eq!(opened["channel"]["id"], "D0ADANORTH");
    let tested = app.call("auth.test", json!({})).await?;
    assert_eq!((&tested["enterprise_id"], &tested["is_enterprise_install"]), (&json!(ORG_ID), &json!(true)));
    let teams = app.read("auth.teams.list", &[]).await?;
    assert_eq!(teams["teams"].as_array().map(Vec::len), Some(1));
    assert_eq!(app.sim.calls()[0].tenant.as_deref(), Some(ORG_ID));
    Ok(())
}

#[tokio::test]
async fn org_wide_token_rotates_for_all_workspaces() -> anyhow::Result<()> {
    let app = FakeApp::start_with(|settings| settings.token_lifetime = Some(Duration::from_secs(60))).await?;
    app.sim.add_enterprise(ORG_ID, "Org", &["T0NORTH", "T0SOUTH"]);
    let refresh_token = app.sim.install_org_wide(ORG_ID, &BOT_SCOPES)?.refresh_token.unwrap_or_default();
    app.sim.grant_team(ORG_ID, "T0NORTH")?;
    app.sim.expire_tokens("T0NORTH");
    let SimulatorSettings { client_id, client_secret, .. } = SimulatorSettings::default();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &refresh_token),
        ("client_id", &client_id),
        ("client_secret", &client_secret),
    ];
    let request = app.http.post(format!("{}/api/oauth.v2.access", app.sim.base_url()));
    let pair: Value = request.form(&form).send().await?.json().await?;
    assert_eq!((&pair["team"], &pair["enterprise"]["id"]), (&Value::Null, &json!(ORG_ID)));
    assert_eq!(pair["is_enterprise_install"], true);
    let newest = app.sim.installation("T0NORTH").map(|bot| bot.token);
    assert_eq!(newest.as_deref(), pair["access_token"].as_str());
    assert_eq!(app.sim.calls()[0].tenant.as_deref(), Some(ORG_ID));
    Ok(())
}

#[tokio::test]
async fn workspace_install_names_organisation() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.add_enterprise(ORG_ID, "Org", &["T0NORTH"]);
    app.sim.install("T0NORTH", &BOT_SCOPES)?;
    post(&app, "hello")?;
    let envelope = &app.received(1).await?[0].envelope;
    assert_eq!(envelope["enterprise_id"], ORG_ID);
    assert_eq!(
        envelope["authorizations"],
        json!([{"enterprise_id": ORG_ID, "team_id": "T0NORTH", "user_id": "U0BOT0NORTH",
                "is_bot": true, "is_enterprise_install": false}])
    );
    Ok(())
}
