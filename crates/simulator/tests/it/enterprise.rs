//! Apps installed for an organisation of several workspaces.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{PostMessage, Settings};
use url::Url;

use crate::app::{App, SCOPES};

const ORG: &str = "E0ORG";

/// The app, installed for an organisation and in none of its workspaces yet.
async fn org_wide() -> anyhow::Result<App> {
    let mut app = App::start().await?;
    app.sim.add_enterprise(ORG, "Org", &["T0NORTH", "T0SOUTH"]);
    app.token =
        app.sim.install_org_wide(ORG, &[&SCOPES[..], &["team:read", "channels:read"]].concat())?.token;
    Ok(app)
}

fn post(app: &App, text: &str) -> anyhow::Result<String> {
    app.sim.post(PostMessage {
        team: "T0NORTH".into(),
        channel: "general".into(),
        user: "U0ADANORTH".into(),
        text: text.into(),
        ..PostMessage::default()
    })
}

#[tokio::test]
async fn consent_can_be_given_for_the_whole_organisation() -> anyhow::Result<()> {
    let app = App::start().await?;
    app.sim.add_enterprise(ORG, "Org", &["T0NORTH", "T0SOUTH"]);
    let Settings { client_id, client_secret, .. } = Settings::default();
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
    let installed = exchange(app.sim.allow_org_wide(url.as_str(), ORG)?).await?;
    assert_eq!(installed["is_enterprise_install"], true);
    assert_eq!(installed["team"], Value::Null);
    assert_eq!(installed["enterprise"], json!({"id": ORG, "name": "Org"}));
    assert_eq!(installed["bot_user_id"], "U0BOT0ORG");
    let refused = exchange(app.sim.allow(&format!("{url}&team=T0NORTH"))?).await?;
    assert_eq!(refused["error"], "cannot_install_an_org_installed_app");
    Ok(())
}

#[tokio::test]
async fn the_app_is_in_no_workspace_until_it_is_granted() -> anyhow::Result<()> {
    let app = org_wide().await?;
    post(&app, "<@U0BOT0ORG> anyone?")?;
    let hello = json!({"channel": "C0GENERALNORTH", "text": "hello"});
    assert_eq!(app.refusal("chat.postMessage", hello.clone()).await?, "team_access_not_granted");
    app.sim.grant_team(ORG, "T0NORTH")?;
    let granted = &app.received(1).await?[0].envelope;
    assert_eq!(granted["event"]["type"], "team_access_granted");
    assert_eq!(granted["event"]["team_ids"], json!(["T0NORTH"]));
    assert_eq!((&granted["enterprise_id"], &granted["team_id"]), (&json!(ORG), &Value::Null));
    assert_eq!(app.call("chat.postMessage", hello.clone()).await?["ok"], true);
    let south = json!({"channel": "C0GENERALSOUTH", "text": "hello"});
    assert_eq!(app.refusal("chat.postMessage", south).await?, "team_access_not_granted");
    app.sim.revoke_team(ORG, "T0NORTH")?;
    let revoked = app.received(3).await?.remove(2).envelope;
    assert_eq!(revoked["event"]["type"], "team_access_revoked");
    assert_eq!(app.refusal("chat.postMessage", hello).await?, "team_access_not_granted");
    Ok(())
}

#[tokio::test]
async fn an_event_names_its_workspace_and_is_for_the_organisation() -> anyhow::Result<()> {
    let app = org_wide().await?;
    app.sim.grant_team(ORG, "T0NORTH")?;
    let ts = post(&app, "<@U0BOT0ORG> hello")?;
    for received in &app.received(3).await?[1..] {
        let envelope = &received.envelope;
        assert_eq!((&envelope["team_id"], &envelope["enterprise_id"]), (&json!("T0NORTH"), &json!(ORG)));
        assert_eq!(
            envelope["authorizations"],
            json!([{"enterprise_id": ORG, "team_id": null, "user_id": "U0BOT0ORG",
                    "is_bot": true, "is_enterprise_install": true}])
        );
        assert_eq!(envelope["event"]["ts"], ts);
        assert_eq!(envelope["is_ext_shared_channel"], false);
    }
    app.sim.uninstall(ORG);
    let last = app.received(5).await?.remove(4).envelope;
    assert_eq!(last["authorizations"][0]["enterprise_id"], ORG);
    assert_eq!(app.refusal("auth.test", json!({})).await?, "account_inactive");
    assert!(app.sim.installation("T0NORTH").is_none());
    Ok(())
}

#[tokio::test]
async fn some_methods_have_to_be_told_the_workspace() -> anyhow::Result<()> {
    let app = org_wide().await?;
    app.sim.grant_team(ORG, "T0NORTH")?;
    for method in ["team.info", "users.conversations"] {
        assert_eq!(app.read(method, &[]).await?["error"], "missing_argument", "{method}");
        assert_eq!(app.read(method, &[("team_id", "T0NORTH")]).await?["ok"], true, "{method}");
        assert_eq!(app.read(method, &[("team_id", "T0SOUTH")]).await?["error"], "team_access_not_granted");
        assert_eq!(app.read(method, &[("team_id", "T0ACME")]).await?["error"], "team_not_found");
    }
    assert_eq!(app.refusal("chat.postMessage", json!({"channel": "general"})).await?, "team_not_found");
    let args = json!({"channel": "C0GENERALNORTH", "text": "hello", "team_id": "T0SOUTH"});
    assert_eq!(app.call("chat.postMessage", args).await?["ok"], true);
    let opened = app.call("conversations.open", json!({"users": "U0ADANORTH"})).await?;
    assert_eq!(opened["channel"]["id"], "D0ADANORTH");
    let tested = app.call("auth.test", json!({})).await?;
    assert_eq!((&tested["enterprise_id"], &tested["is_enterprise_install"]), (&json!(ORG), &json!(true)));
    let teams = app.read("auth.teams.list", &[]).await?;
    assert_eq!(teams["teams"].as_array().map(Vec::len), Some(1));
    assert_eq!(app.sim.calls()[0].team.as_deref(), Some(ORG));
    Ok(())
}

#[tokio::test]
async fn an_org_wide_token_rotates_for_all_its_workspaces() -> anyhow::Result<()> {
    let app = App::with(|settings| settings.token_lifetime = Some(Duration::from_secs(60))).await?;
    app.sim.add_enterprise(ORG, "Org", &["T0NORTH", "T0SOUTH"]);
    let refresh_token = app.sim.install_org_wide(ORG, &SCOPES)?.refresh_token.unwrap_or_default();
    app.sim.grant_team(ORG, "T0NORTH")?;
    app.sim.expire_tokens("T0NORTH");
    let Settings { client_id, client_secret, .. } = Settings::default();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &refresh_token),
        ("client_id", &client_id),
        ("client_secret", &client_secret),
    ];
    let request = app.http.post(format!("{}/api/oauth.v2.access", app.sim.base_url()));
    let pair: Value = request.form(&form).send().await?.json().await?;
    assert_eq!((&pair["team"], &pair["enterprise"]["id"]), (&Value::Null, &json!(ORG)));
    assert_eq!(pair["is_enterprise_install"], true);
    let newest = app.sim.installation("T0NORTH").map(|bot| bot.token);
    assert_eq!(newest.as_deref(), pair["access_token"].as_str());
    assert_eq!(app.sim.calls()[0].team.as_deref(), Some(ORG));
    Ok(())
}

#[tokio::test]
async fn a_workspaces_own_install_says_which_organisation_it_is_in() -> anyhow::Result<()> {
    let app = App::start().await?;
    app.sim.add_enterprise(ORG, "Org", &["T0NORTH"]);
    app.sim.install("T0NORTH", &SCOPES)?;
    post(&app, "hello")?;
    let envelope = &app.received(1).await?[0].envelope;
    assert_eq!(envelope["enterprise_id"], ORG);
    assert_eq!(
        envelope["authorizations"],
        json!([{"enterprise_id": ORG, "team_id": "T0NORTH", "user_id": "U0BOT0NORTH",
                "is_bot": true, "is_enterprise_install": false}])
    );
    Ok(())
}
