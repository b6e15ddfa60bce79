//! The Home tab.

use serde_json::{Value, json};

use crate::fake_app::FakeApp;
use crate::form_app::FormApp;

fn view(blocks: &Value) -> Value {
    json!({"user_id": "U0ADA", "view": {"type": "home", "blocks": blocks}})
}

fn button() -> Value {
    let text = json!({"type": "plain_text", "text": "Refresh"});
    json!([{"type": "actions", "elements": [{"type": "button", "action_id": "refresh", "text": text}]}])
}

#[tokio::test]
async fn home_tab_is_published_opened_and_clicked() -> anyhow::Result<()> {
    let forms = FormApp::start().await?;
    let (app, sim) = (&forms.app, &forms.app.sim);
    let published = app.call("views.publish", view(&button())).await?["view"].clone();
    assert_eq!((&published["type"], &published["app_installed_team_id"]), (&json!("home"), &json!("T0ACME")));
    assert_eq!(sim.home("T0ACME", "U0ADA"), Some(published.clone()));
    assert_eq!(sim.click_home("T0ACME", "U0ADA", "refresh").await?, 200);
    let payload = forms.last_form().payload()?;
    assert_eq!(payload["container"], json!({"type": "view", "view_id": published["id"]}));
    assert_eq!(payload["view"]["hash"], published["hash"]);
    assert_eq!(payload["actions"][0]["action_id"], "refresh");
    assert!(payload.get("response_url").is_none() && payload.get("message").is_none());
    assert!(sim.click_home("T0ACME", "U0ADA", "other").await.is_err());
    assert!(sim.click_home("T0ACME", "U0GRACE", "refresh").await.is_err());
    Ok(())
}

#[tokio::test]
async fn home_opened_event_includes_view() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.open_app_tab("T0ACME", "U0ADA", "home");
    assert!(app.received(1).await?[0].envelope["event"].get("view").is_none());
    app.call("views.publish", view(&button())).await?;
    app.sim.open_app_tab("T0ACME", "U0ADA", "home");
    let event = &app.received(2).await?[1].envelope["event"];
    assert_eq!((&event["tab"], &event["view"]["type"]), (&json!("home"), &json!("home")));
    Ok(())
}

#[tokio::test]
async fn invalid_home_view_is_refused() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let hash = app.call("views.publish", view(&button())).await?["view"]["hash"].clone();
    let hashed =
        |hash: &Value| json!({"user_id": "U0ADA", "hash": hash, "view": {"type": "home", "blocks": []}});
    assert_eq!(app.call("views.publish", hashed(&hash)).await?["ok"], true);
    assert_eq!(app.call_error("views.publish", hashed(&hash)).await?, "hash_conflict");
    let divider = json!({"type": "divider"});
    let feedback = json!([{"type": "context_actions", "elements": [{"type": "icon_button"}]}]);
    let text = json!({"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(2999)}});
    for (args, error) in [
        (view(&json!(vec![divider.clone(); 101])), "invalid_blocks"),
        (view(&feedback), "invalid_blocks"),
        (view(&json!(vec![text; 100])), "view_too_large"),
        (json!({"user_id": "U0NONE", "view": {"type": "home", "blocks": []}}), "user_not_found"),
        (json!({"user_id": "U0ADA", "view": {"type": "modal", "blocks": []}}), "invalid_arguments"),
        (json!({"user_id": "U0ADA"}), "invalid_arguments"),
    ] {
        assert_eq!(app.call_error("views.publish", args).await?, error);
    }
    assert_eq!(app.call("views.publish", view(&json!(vec![divider; 100]))).await?["ok"], true);
    let without = FakeApp::start_with(|settings| settings.has_home_tab = false).await?;
    assert_eq!(without.call_error("views.publish", view(&button())).await?, "not_enabled");
    Ok(())
}
