//! People and their profiles.

use serde_json::{Value, json};
use simulator::{PostMessage, SimulatedUser};

use crate::fake_app::{BOT_SCOPES, FakeApp};

async fn user_info(app: &FakeApp, id: &str) -> anyhow::Result<Value> {
    Ok(app.read("users.info", &[("user", id)]).await?["user"].clone())
}

#[tokio::test]
async fn user_info_has_role_title_and_time_zone() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.add_person(
        "T0ACME",
        SimulatedUser {
            id: "U0KIM".into(),
            name: "kim".into(),
            real_name: "Kim Guest".into(),
            title: "Auditor".into(),
            tz: "America/New_York".into(),
            is_restricted: true,
            ..SimulatedUser::default()
        },
    );
    let kim = user_info(&app, "U0KIM").await?;
    assert_eq!((&kim["real_name"], &kim["profile"]["title"]), (&json!("Kim Guest"), &json!("Auditor")));
    assert_eq!((&kim["tz"], &kim["is_restricted"]), (&json!("America/New_York"), &json!(true)));
    assert_eq!((&kim["is_admin"], &kim["is_stranger"]), (&json!(false), &json!(false)));
    assert!(kim["profile"].get("email").is_none());
    let ada = user_info(&app, "U0ADA").await?;
    assert_eq!((&ada["is_owner"], &ada["tz"]), (&json!(true), &json!("Europe/London")));
    assert_eq!(user_info(&app, "U0BOT0ACME").await?["is_bot"], true);
    assert_eq!(app.read("users.info", &[("user", "U404")]).await?["error"], "user_not_found");
    Ok(())
}

#[tokio::test]
async fn external_user_is_stranger_until_shared() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.add_team("T0BETA", "Beta");
    let before = user_info(&app, "U0ADABETA").await?;
    assert_eq!((&before["is_stranger"], &before["team_id"]), (&json!(true), &json!("T0BETA")));
    assert!(before.get("is_admin").is_none());
    app.sim.share_channel("T0ACME", "general", "T0BETA")?;
    let after = user_info(&app, "U0ADABETA").await?;
    assert_eq!((&after["is_stranger"], &after["team_id"]), (&json!(false), &json!("T0BETA")));
    Ok(())
}

#[tokio::test]
async fn grid_user_info_has_enterprise() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.add_enterprise("E0ORG", "Org", &["T0ACME", "T0SOUTH"]);
    let ada = user_info(&app, "U0ADASOUTH").await?;
    assert_eq!(ada["enterprise_user"]["enterprise_id"], "E0ORG");
    assert_eq!(ada["enterprise_user"]["teams"], json!(["T0SOUTH"]));
    assert_eq!((&ada["is_stranger"], &ada["is_admin"]), (&json!(false), &json!(true)));
    Ok(())
}

#[tokio::test]
async fn team_join_contains_user_object() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let person = |id: &str| SimulatedUser { id: id.into(), name: id.into(), ..SimulatedUser::default() };
    app.sim.add_person("T0ACME", person("U0NEW"));
    let event = app.received(1).await?.remove(0).envelope["event"].clone();
    assert_eq!((&event["type"], &event["user"]["id"]), (&json!("team_join"), &json!("U0NEW")));
    assert_eq!(event["user"]["is_bot"], false);
    app.sim.add_team("T0BETA", "Beta");
    app.sim.install("T0BETA", &[BOT_SCOPES[2]])?;
    app.sim.add_person("T0BETA", person("U0UNSEEN"));
    app.sim.post(PostMessage {
        team: "T0ACME".into(),
        channel: app.sim.dm("T0ACME", "U0NEW").unwrap_or_default(),
        user: "U0NEW".into(),
        text: "hello".into(),
        ..PostMessage::default()
    })?;
    assert_eq!(app.received(2).await?[1].envelope["event"]["type"], "message");
    Ok(())
}
