//! Clicks and their responses.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::form_app::FormApp;

fn feedback_blocks() -> Value {
    let thumb =
        |text: &str, value: &str| json!({"text": {"type": "plain_text", "text": text}, "value": value});
    json!([
        {"type": "section", "text": {"type": "mrkdwn", "text": "an answer"}},
        {"type": "context_actions", "elements": [{
            "type": "feedback_buttons", "action_id": "feedback",
            "positive_button": thumb("Good", "up"), "negative_button": thumb("Bad", "down"),
        }]},
        {"type": "actions", "block_id": "again", "elements": [{
            "type": "button", "action_id": "retry", "text": {"type": "plain_text", "text": "Try again"}, "value": "e1",
        }]},
    ])
}

/// Posts the app's message with buttons in Ada's DM; returns root and `ts`.
async fn post_with_feedback(forms: &FormApp) -> anyhow::Result<(String, String)> {
    let root = forms.app.post_as_ada("D0ADA", "hello")?;
    let args =
        json!({"channel": "D0ADA", "thread_ts": root, "text": "an answer", "blocks": feedback_blocks()});
    let posted = forms.app.call("chat.postMessage", args).await?;
    Ok((root, posted["ts"].as_str().context("a ts")?.to_owned()))
}

#[tokio::test]
async fn feedback_click_names_button_and_message() -> anyhow::Result<()> {
    let forms = FormApp::start().await?;
    let (root, ts) = post_with_feedback(&forms).await?;
    let sim = &forms.app.sim;
    assert_eq!(sim.click("T0ACME", "U0ADA", "D0ADA", &ts, "feedback", Some("down")).await?, 200);
    let form = forms.last_form();
    assert!(form.is_signed);
    assert_eq!(form.path, "/slack/interactions");
    let payload = form.payload()?;
    assert_eq!(payload["type"], "block_actions");
    assert_eq!(payload["user"]["id"], "U0ADA");
    assert_eq!(payload["user"]["team_id"], "T0ACME");
    assert_eq!(payload["team"], json!({"id": "T0ACME", "domain": "acme"}));
    assert_eq!((&payload["enterprise"], &payload["is_enterprise_install"]), (&Value::Null, &json!(false)));
    let container = json!({
        "type": "message", "message_ts": ts, "channel_id": "D0ADA", "thread_ts": root, "is_ephemeral": false,
    });
    assert_eq!(payload["container"], container);
    assert_eq!(payload["channel"], json!({"id": "D0ADA", "name": "directmessage"}));
    let message = &payload["message"];
    assert_eq!(message["ts"], ts.as_str());
    let action = &payload["actions"][0];
    assert_eq!((&action["type"], &action["value"]), (&json!("feedback_buttons"), &json!("down")));
    assert_eq!(action["block_id"], message["blocks"][1]["block_id"]);
    assert!(action["action_ts"].is_string() && payload["trigger_id"].is_string());
    assert_eq!(sim.click("T0ACME", "U0ADA", "D0ADA", &ts, "retry", None).await?, 200);
    let action = forms.last_form().payload()?["actions"][0].clone();
    assert_eq!(
        (&action["type"], &action["value"], &action["block_id"]),
        (&json!("button"), &json!("e1"), &json!("again"))
    );
    Ok(())
}

#[tokio::test]
async fn click_is_sent_once_for_existing_elements() -> anyhow::Result<()> {
    let forms = FormApp::start_with(|settings| settings.ack_timeout = Duration::from_millis(200)).await?;
    let (_, ts) = post_with_feedback(&forms).await?;
    let sim = &forms.app.sim;
    for (user, ts, action, value) in [
        ("U0ADA", ts.as_str(), "feedback", None),
        ("U0ADA", &ts, "feedback", Some("sideways")),
        ("U0ADA", &ts, "other", None),
        ("U0ADA", "1.000001", "retry", None),
        ("U0GRACE", &ts, "retry", None),
    ] {
        assert!(sim.click("T0ACME", user, "D0ADA", ts, action, value).await.is_err(), "{user} {ts} {action}");
    }
    assert!(forms.forms().is_empty());
    forms.respond_with(500, "text/plain", "");
    assert_eq!(sim.click("T0ACME", "U0ADA", "D0ADA", &ts, "retry", Some("e1")).await?, 500);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(forms.forms().len(), 1);
    sim.uninstall("T0ACME");
    assert!(sim.click("T0ACME", "U0ADA", "D0ADA", &ts, "retry", None).await.is_err());
    Ok(())
}

#[tokio::test]
async fn click_response_is_shown_replaced_deleted() -> anyhow::Result<()> {
    let forms = FormApp::start().await?;
    let (root, ts) = post_with_feedback(&forms).await?;
    let sim = &forms.app.sim;
    sim.click("T0ACME", "U0ADA", "D0ADA", &ts, "feedback", Some("up")).await?;
    let url = forms.last_form().payload()?["response_url"].as_str().context("an address")?.to_owned();
    assert!(url.starts_with(&sim.base_url()));
    assert_eq!(forms.post_response(&url, json!({"text": "Thank you"})).await?.0, 200);
    let shown = sim.ephemerals("T0ACME", "D0ADA");
    assert_eq!((shown[0].0.as_str(), shown[0].1.text.as_str()), ("U0ADA", "Thank you"));
    let replace = json!({"replace_original": true, "blocks": [{"type": "markdown", "text": "**new**"}]});
    assert_eq!(forms.post_response(&url, replace).await?.0, 200);
    let message = sim.messages("T0ACME", "D0ADA").pop().context("the message")?;
    assert_eq!((&message.ts, &message.blocks.unwrap_or_default()[0]["text"]), (&ts, &json!("**new**")));
    assert_eq!(forms.post_response(&url, json!({"text": " "})).await?, (400, json!("no_text")));
    let public = json!({"text": "to all", "response_type": "in_channel", "thread_ts": root});
    assert_eq!(forms.post_response(&url, public).await?.0, 200);
    assert_eq!(sim.thread("T0ACME", "D0ADA", &root).len(), 3);
    assert_eq!(forms.post_response(&url, json!({"delete_original": true})).await?.0, 200);
    assert_eq!(sim.messages("T0ACME", "D0ADA").len(), 2);
    assert_eq!(forms.post_response(&url, json!({"text": "once more"})).await?, (404, json!("used_url")));
    let unknown = format!("{}/actions/T0ACME/1/none", sim.base_url());
    assert_eq!(forms.post_response(&unknown, json!({"text": "x"})).await?, (404, json!("invalid_url")));
    Ok(())
}

#[tokio::test]
async fn ephemeral_click_omits_message_and_url_expires() -> anyhow::Result<()> {
    let forms = FormApp::start_with(|settings| settings.response_url_lifetime = Duration::ZERO).await?;
    let args = json!({"channel": "C0GENERAL", "user": "U0GRACE", "text": "x", "blocks": feedback_blocks()});
    let ts = forms.app.call("chat.postEphemeral", args).await?["message_ts"].clone();
    let ts = ts.as_str().context("a ts")?;
    let sim = &forms.app.sim;
    assert!(sim.click("T0ACME", "U0ADA", "general", ts, "retry", None).await.is_err());
    sim.click("T0ACME", "U0GRACE", "general", ts, "retry", None).await?;
    let payload = forms.last_form().payload()?;
    assert_eq!(payload["container"]["is_ephemeral"], true);
    assert!(payload.get("message").is_none());
    let url = payload["response_url"].as_str().context("an address")?;
    assert_eq!(forms.post_response(url, json!({"text": "late"})).await?, (404, json!("expired_url")));
    Ok(())
}

#[tokio::test]
async fn org_wide_click_names_organisation_only() -> anyhow::Result<()> {
    let mut forms = FormApp::start().await?;
    forms.app.sim.add_enterprise("E0ORG", "Org", &["T0NORTH"]);
    forms.app.token = forms.app.sim.install_org_wide("E0ORG", &["chat:write", "commands"])?.token;
    forms.app.sim.grant_team("E0ORG", "T0NORTH")?;
    let args = json!({"channel": "C0GENERALNORTH", "text": "x", "blocks": feedback_blocks()});
    let ts = forms.app.call("chat.postMessage", args).await?["ts"].clone();
    let sim = &forms.app.sim;
    sim.click("T0NORTH", "U0ADANORTH", "general", ts.as_str().context("a ts")?, "retry", None).await?;
    let payload = forms.last_form().payload()?;
    assert_eq!(payload["enterprise"], json!({"id": "E0ORG", "name": "Org"}));
    assert_eq!((&payload["team"], &payload["is_enterprise_install"]), (&Value::Null, &json!(true)));
    assert_eq!(payload["user"]["team_id"], "T0NORTH");
    sim.command("T0NORTH", "U0ADANORTH", "general", "/enablebot", "help").await?;
    let form = forms.last_form();
    assert_eq!((form.field("enterprise_id"), form.field("team_id")), ("E0ORG", "T0NORTH"));
    assert_eq!((form.field("enterprise_name"), form.field("is_enterprise_install")), ("Org", "true"));
    Ok(())
}
