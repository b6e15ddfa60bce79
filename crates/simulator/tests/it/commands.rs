//! Slash commands, and Slack's check of certificates.

use anyhow::Context;
use serde_json::json;

use crate::form_app::FormApp;

#[tokio::test]
async fn slash_command_is_signed_form() -> anyhow::Result<()> {
    let forms = FormApp::start().await?;
    let sim = &forms.app.sim;
    let answer = sim.command("T0ACME", "U0GRACE", "#random", "/enablebot", "forget me & all").await?;
    assert_eq!(answer, (200, String::new()));
    let form = forms.last_form();
    assert!(form.is_signed);
    assert_eq!(form.path, "/slack/commands");
    for (name, value) in [
        ("team_id", "T0ACME"),
        ("team_domain", "acme"),
        ("channel_id", "C0RANDOM"),
        ("channel_name", "random"),
        ("user_id", "U0GRACE"),
        ("user_name", "grace"),
        ("command", "/enablebot"),
        ("text", "forget me & all"),
        ("is_enterprise_install", "false"),
    ] {
        assert_eq!(form.field(name), value);
    }
    assert!(!form.field("trigger_id").is_empty() && form.field("enterprise_id").is_empty());
    assert!(sim.ephemerals("T0ACME", "random").is_empty());
    assert!(sim.command("T0ACME", "U0GRACE", "random", "/other", "").await.is_err());
    Ok(())
}

#[tokio::test]
async fn command_response_is_shown() -> anyhow::Result<()> {
    let forms = FormApp::start().await?;
    let sim = &forms.app.sim;
    let say = || sim.command("T0ACME", "U0ADA", "general", "/enablebot", "help");
    forms.respond_with(200, "text/plain", "plain");
    assert_eq!(say().await?, (200, "plain".to_owned()));
    forms.respond_with(200, "application/json", json!({"text": "to you"}));
    say().await?;
    let shown: Vec<_> =
        sim.ephemerals("T0ACME", "general").into_iter().map(|(_, message)| message.text).collect();
    assert_eq!(shown, ["plain", "to you"]);
    forms.respond_with(200, "application/json", json!({"text": "to all", "response_type": "in_channel"}));
    say().await?;
    assert_eq!(sim.messages("T0ACME", "general").len(), 1);
    forms.respond_with(200, "application/json", json!({"blocks": [{"type": "nonsense"}]}));
    assert!(say().await.is_err());
    forms.respond_with(503, "text/plain", "later");
    assert_eq!(say().await?, (503, "later".to_owned()));
    assert_eq!(sim.ephemerals("T0ACME", "general").len(), 2);
    // A later response replaces the first.
    let url = forms.last_form().field("response_url").to_owned();
    for text in ["working", "done"] {
        forms.post_response(&url, json!({"text": text, "replace_original": true})).await?;
    }
    let shown = sim.ephemerals("T0ACME", "general");
    assert_eq!((shown.len(), shown.last().context("one")?.1.text.as_str()), (3, "done"));
    Ok(())
}

#[tokio::test]
async fn ssl_check_is_unsigned() -> anyhow::Result<()> {
    let forms = FormApp::start().await?;
    assert_eq!(forms.app.sim.probe_ssl().await?, [200; 4]);
    let paths: Vec<_> = forms.forms().into_iter().map(|form| form.path).collect();
    assert_eq!(paths, ["/slack/commands", "/slack/commands", "/slack/interactions", "/slack/interactions"]);
    assert!(forms.forms().iter().all(|form| !form.is_signed && form.field("ssl_check") == "1"));
    Ok(())
}
