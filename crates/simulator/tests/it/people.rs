//! Who people are.

use serde_json::{Value, json};
use simulator::{Person, PostMessage};

use crate::app::{App, SCOPES};

async fn user(app: &App, id: &str) -> anyhow::Result<Value> {
    Ok(app.read("users.info", &[("user", id)]).await?["user"].clone())
}

#[tokio::test]
async fn a_person_is_told_with_role_title_and_time_zone() -> anyhow::Result<()> {
    let app = App::start().await?;
    app.sim.add_person(
        "T0ACME",
        Person {
            id: "U0KIM".into(),
            name: "kim".into(),
            real_name: "Kim Guest".into(),
            title: "Auditor".into(),
            tz: "America/New_York".into(),
            is_restricted: true,
            ..Person::default()
        },
    );
    let kim = user(&app, "U0KIM").await?;
    assert_eq!((&kim["real_name"], &kim["profile"]["title"]), (&json!("Kim Guest"), &json!("Auditor")));
    assert_eq!((&kim["tz"], &kim["is_restricted"]), (&json!("America/New_York"), &json!(true)));
    assert_eq!((&kim["is_admin"], &kim["is_stranger"]), (&json!(false), &json!(false)));
    assert!(kim["profile"].get("email").is_none());
    let ada = user(&app, "U0ADA").await?;
    assert_eq!((&ada["is_owner"], &ada["tz"]), (&json!(true), &json!("Europe/London")));
    assert_eq!(user(&app, "U0BOT0ACME").await?["is_bot"], true);
    assert_eq!(app.read("users.info", &[("user", "U404")]).await?["error"], "user_not_found");
    Ok(())
}

#[tokio::test]
async fn an_external_person_is_a_stranger_only_until_a_channel_is_shared() -> anyhow::Result<()> {
    let app = App::start().await?;
    app.sim.add_team("T0BETA", "Beta");
    let before = user(&app, "U0ADABETA").await?;
    assert_eq!((&before["is_stranger"], &before["team_id"]), (&json!(true), &json!("T0BETA")));
    assert!(before.get("is_admin").is_none());
    app.sim.share_channel("T0ACME", "general", "T0BETA")?;
    let after = user(&app, "U0ADABETA").await?;
    assert_eq!((&after["is_stranger"], &after["team_id"]), (&json!(false), &json!("T0BETA")));
    Ok(())
}

#[tokio::test]
async fn on_grid_a_person_is_told_with_their_organisation() -> anyhow::Result<()> {
    let app = App::start().await?;
    app.sim.add_enterprise("E0ORG", "Org", &["T0ACME", "T0SOUTH"]);
    let ada = user(&app, "U0ADASOUTH").await?;
    assert_eq!(ada["enterprise_user"]["enterprise_id"], "E0ORG");
    assert_eq!(ada["enterprise_user"]["teams"], json!(["T0SOUTH"]));
    assert_eq!((&ada["is_stranger"], &ada["is_admin"]), (&json!(false), &json!(true)));
    Ok(())
}

#[tokio::test]
async fn who_joins_is_announced_as_an_object() -> anyhow::Result<()> {
    let app = App::start().await?;
    let person = |id: &str| Person { id: id.into(), name: id.into(), ..Person::default() };
    app.sim.add_person("T0ACME", person("U0NEW"));
    let event = app.received(1).await?.remove(0).envelope["event"].clone();
    assert_eq!((&event["type"], &event["user"]["id"]), (&json!("team_join"), &json!("U0NEW")));
    assert_eq!(event["user"]["is_bot"], false);
    app.sim.add_team("T0BETA", "Beta");
    app.sim.install("T0BETA", &[SCOPES[2]])?;
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
