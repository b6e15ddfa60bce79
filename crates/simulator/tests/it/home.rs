//! The Home tab.

use serde_json::{Value, json};

use crate::app::App;
use crate::forms::Forms;

fn view(blocks: &Value) -> Value {
    json!({"user_id": "U0ADA", "view": {"type": "home", "blocks": blocks}})
}

fn button() -> Value {
    let text = json!({"type": "plain_text", "text": "Refresh"});
    json!([{"type": "actions", "elements": [{"type": "button", "action_id": "refresh", "text": text}]}])
}

#[tokio::test]
async fn a_home_tab_is_published_opened_and_clicked() -> anyhow::Result<()> {
    let forms = Forms::start().await?;
    let (app, sim) = (&forms.app, &forms.app.sim);
    let published = app.call("views.publish", view(&button())).await?["view"].clone();
    assert_eq!((&published["type"], &published["app_installed_team_id"]), (&json!("home"), &json!("T0ACME")));
    assert_eq!(sim.home("T0ACME", "U0ADA"), Some(published.clone()));
    assert_eq!(sim.click_home("T0ACME", "U0ADA", "refresh").await?, 200);
    let payload = forms.last().payload()?;
    assert_eq!(payload["container"], json!({"type": "view", "view_id": published["id"]}));
    assert_eq!(payload["view"]["hash"], published["hash"]);
    assert_eq!(payload["actions"][0]["action_id"], "refresh");
    assert!(payload.get("response_url").is_none() && payload.get("message").is_none());
    assert!(sim.click_home("T0ACME", "U0ADA", "other").await.is_err());
    assert!(sim.click_home("T0ACME", "U0GRACE", "refresh").await.is_err());
    Ok(())
}

#[tokio::test]
async fn opening_it_tells_what_is_in_it() -> anyhow::Result<()> {
    let app = App::start().await?;
    app.sim.open_home("T0ACME", "U0ADA", "home");
    assert!(app.received(1).await?[0].envelope["event"].get("view").is_none());
    app.call("views.publish", view(&button())).await?;
    app.sim.open_home("T0ACME", "U0ADA", "home");
    let event = &app.received(2).await?[1].envelope["event"];
    assert_eq!((&event["tab"], &event["view"]["type"]), (&json!("home"), &json!("home")));
    Ok(())
}

#[tokio::test]
async fn publishing_is_refused_as_slack_does() -> anyhow::Result<()> {
    let app = App::start().await?;
    let hash = app.call("views.publish", view(&button())).await?["view"]["hash"].clone();
    let hashed =
        |hash: &Value| json!({"user_id": "U0ADA", "hash": hash, "view": {"type": "home", "blocks": []}});
    assert_eq!(app.call("views.publish", hashed(&hash)).await?["ok"], true);
    assert_eq!(app.refusal("views.publish", hashed(&hash)).await?, "hash_conflict");
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
        assert_eq!(app.refusal("views.publish", args).await?, error);
    }
    assert_eq!(app.call("views.publish", view(&json!(vec![divider; 100]))).await?["ok"], true);
    let without = App::with(|settings| settings.home_tab = false).await?;
    assert_eq!(without.refusal("views.publish", view(&button())).await?, "not_enabled");
    Ok(())
}
