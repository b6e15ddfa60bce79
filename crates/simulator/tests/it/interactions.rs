//! Clicks, and the answers to them.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::forms::Forms;

fn thumbs() -> Value {
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

/// The app's message with the buttons, in Ada's DM: root and `ts`.
async fn answered(forms: &Forms) -> anyhow::Result<(String, String)> {
    let root = forms.app.ada("D0ADA", "hello")?;
    let args = json!({"channel": "D0ADA", "thread_ts": root, "text": "an answer", "blocks": thumbs()});
    let posted = forms.app.call("chat.postMessage", args).await?;
    Ok((root, posted["ts"].as_str().context("a ts")?.to_owned()))
}

#[tokio::test]
async fn a_click_on_a_thumb_tells_which_and_where() -> anyhow::Result<()> {
    let forms = Forms::start().await?;
    let (root, ts) = answered(&forms).await?;
    let sim = &forms.app.sim;
    assert_eq!(sim.click("T0ACME", "U0ADA", "D0ADA", &ts, "feedback", Some("down")).await?, 200);
    let form = forms.last();
    assert!(form.signed);
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
    let action = forms.last().payload()?["actions"][0].clone();
    assert_eq!(
        (&action["type"], &action["value"], &action["block_id"]),
        (&json!("button"), &json!("e1"), &json!("again"))
    );
    Ok(())
}

#[tokio::test]
async fn a_click_is_told_once_and_only_of_what_is_there() -> anyhow::Result<()> {
    let forms = Forms::with(|settings| settings.ack_timeout = Duration::from_millis(200)).await?;
    let (_, ts) = answered(&forms).await?;
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
    forms.answer_with(500, "text/plain", "");
    assert_eq!(sim.click("T0ACME", "U0ADA", "D0ADA", &ts, "retry", Some("e1")).await?, 500);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(forms.forms().len(), 1);
    sim.uninstall("T0ACME");
    assert!(sim.click("T0ACME", "U0ADA", "D0ADA", &ts, "retry", None).await.is_err());
    Ok(())
}

#[tokio::test]
async fn an_answer_to_a_click_is_shown_replaced_and_withdrawn() -> anyhow::Result<()> {
    let forms = Forms::start().await?;
    let (root, ts) = answered(&forms).await?;
    let sim = &forms.app.sim;
    sim.click("T0ACME", "U0ADA", "D0ADA", &ts, "feedback", Some("up")).await?;
    let url = forms.last().payload()?["response_url"].as_str().context("an address")?.to_owned();
    assert!(url.starts_with(&sim.base_url()));
    assert_eq!(forms.respond(&url, json!({"text": "Thank you"})).await?.0, 200);
    let shown = sim.ephemerals("T0ACME", "D0ADA");
    assert_eq!((shown[0].0.as_str(), shown[0].1.text.as_str()), ("U0ADA", "Thank you"));
    let replace = json!({"replace_original": true, "blocks": [{"type": "markdown", "text": "**new**"}]});
    assert_eq!(forms.respond(&url, replace).await?.0, 200);
    let message = sim.messages("T0ACME", "D0ADA").pop().context("the message")?;
    assert_eq!((&message.ts, &message.blocks.unwrap_or_default()[0]["text"]), (&ts, &json!("**new**")));
    assert_eq!(forms.respond(&url, json!({"text": " "})).await?, (400, json!("no_text")));
    let public = json!({"text": "to all", "response_type": "in_channel", "thread_ts": root});
    assert_eq!(forms.respond(&url, public).await?.0, 200);
    assert_eq!(sim.thread("T0ACME", "D0ADA", &root).len(), 3);
    assert_eq!(forms.respond(&url, json!({"delete_original": true})).await?.0, 200);
    assert_eq!(sim.messages("T0ACME", "D0ADA").len(), 2);
    assert_eq!(forms.respond(&url, json!({"text": "once more"})).await?, (404, json!("used_url")));
    let unknown = format!("{}/actions/T0ACME/1/none", sim.base_url());
    assert_eq!(forms.respond(&unknown, json!({"text": "x"})).await?, (404, json!("invalid_url")));
    Ok(())
}

#[tokio::test]
async fn a_private_message_is_not_told_again_and_answers_end() -> anyhow::Result<()> {
    let forms = Forms::with(|settings| settings.response_url_lifetime = Duration::ZERO).await?;
    let args = json!({"channel": "C0GENERAL", "user": "U0GRACE", "text": "x", "blocks": thumbs()});
    let ts = forms.app.call("chat.postEphemeral", args).await?["message_ts"].clone();
    let ts = ts.as_str().context("a ts")?;
    let sim = &forms.app.sim;
    assert!(sim.click("T0ACME", "U0ADA", "general", ts, "retry", None).await.is_err());
    sim.click("T0ACME", "U0GRACE", "general", ts, "retry", None).await?;
    let payload = forms.last().payload()?;
    assert_eq!(payload["container"]["is_ephemeral"], true);
    assert!(payload.get("message").is_none());
    let url = payload["response_url"].as_str().context("an address")?;
    assert_eq!(forms.respond(url, json!({"text": "late"})).await?, (404, json!("expired_url")));
    Ok(())
}

#[tokio::test]
async fn an_org_wide_install_names_its_organisation_and_no_team() -> anyhow::Result<()> {
    let mut forms = Forms::start().await?;
    forms.app.sim.add_enterprise("E0ORG", "Org", &["T0NORTH"]);
    forms.app.token = forms.app.sim.install_org_wide("E0ORG", &["chat:write", "commands"])?.token;
    forms.app.sim.grant_team("E0ORG", "T0NORTH")?;
    let args = json!({"channel": "C0GENERALNORTH", "text": "x", "blocks": thumbs()});
    let ts = forms.app.call("chat.postMessage", args).await?["ts"].clone();
    let sim = &forms.app.sim;
    sim.click("T0NORTH", "U0ADANORTH", "general", ts.as_str().context("a ts")?, "retry", None).await?;
    let payload = forms.last().payload()?;
    assert_eq!(payload["enterprise"], json!({"id": "E0ORG", "name": "Org"}));
    assert_eq!((&payload["team"], &payload["is_enterprise_install"]), (&Value::Null, &json!(true)));
    assert_eq!(payload["user"]["team_id"], "T0NORTH");
    sim.command("T0NORTH", "U0ADANORTH", "general", "/enablebot", "help").await?;
    let form = forms.last();
    assert_eq!((form.field("enterprise_id"), form.field("team_id")), ("E0ORG", "T0NORTH"));
    assert_eq!((form.field("enterprise_name"), form.field("is_enterprise_install")), ("Org", "true"));
    Ok(())
}
