//! Channel and thread history.

use serde_json::json;

use crate::fake_app::FakeApp;

#[tokio::test]
async fn replies_are_paged_with_root() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let root = app.post_as_ada("general", "root")?;
    for n in 0..4 {
        let metadata = json!({"event_type": "n", "event_payload": {"n": n}});
        let args =
            json!({"channel": "C0GENERAL", "thread_ts": root, "text": format!("{n}"), "metadata": metadata});
        app.call("chat.postMessage", args).await?;
    }
    let place = [("channel", "C0GENERAL"), ("ts", root.as_str()), ("limit", "3")];
    let first = app.read("conversations.replies", &place).await?;
    assert_eq!(first["messages"][0]["reply_count"], 4);
    assert!(first["messages"][1].get("metadata").is_none());
    assert_eq!(first["has_more"], true);
    let cursor = first["response_metadata"]["next_cursor"].as_str().unwrap_or_default();
    let more = [&place[..], &[("cursor", cursor), ("include_all_metadata", "true")]].concat();
    let rest = app.read("conversations.replies", &more).await?;
    assert_eq!(rest["messages"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest["messages"][1]["metadata"]["event_payload"]["n"], 3);
    assert_eq!(rest["has_more"], false);
    let history = app.read("conversations.history", &[("channel", "C0GENERAL")]).await?;
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(1));
    // A read-only method ignores a JSON body.
    let args = json!({"channel": "C0GENERAL", "ts": root});
    assert_eq!(app.call_error("conversations.replies", args).await?, "invalid_arguments");
    Ok(())
}

#[tokio::test]
async fn unlisted_app_history_is_limited() -> anyhow::Result<()> {
    let app = FakeApp::start_with(|settings| {
        settings.is_marketplace_app = false;
        settings.has_rate_limits = true;
    })
    .await?;
    for _ in 0..20 {
        app.post_as_ada("general", "x")?;
    }
    let place = [("channel", "C0GENERAL"), ("limit", "100")];
    let page = app.read("conversations.history", &place).await?;
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(15));
    let url = format!("{}/api/conversations.history", app.sim.base_url());
    let answer = app.http.get(url).query(&place).bearer_auth(&app.token).send().await?;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "60");
    assert_eq!(answer.json::<serde_json::Value>().await?["error"], "ratelimited");
    Ok(())
}

#[tokio::test]
async fn scopes_and_tokens_are_checked() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let refused = app.read("team.info", &[]).await?;
    assert_eq!(refused["error"], "missing_scope");
    assert_eq!(refused["needed"], "team:read");
    assert!(refused["provided"].as_str().is_some_and(|scopes| scopes.contains("chat:write")));
    assert_eq!(app.call_error("chat.sing", json!({})).await?, "unknown_method");
    let admin = app.read("users.info", &[("user", "U0ADA")]).await?;
    assert_eq!(admin["user"]["is_admin"], true);
    let url = format!("{}/api/auth.test", app.sim.base_url());
    let answer: serde_json::Value = app.http.post(&url).send().await?.json().await?;
    assert_eq!(answer["error"], "not_authed");
    let answer: serde_json::Value = app.http.post(&url).bearer_auth("xoxb-no").send().await?.json().await?;
    assert_eq!(answer["error"], "invalid_auth");
    Ok(())
}
