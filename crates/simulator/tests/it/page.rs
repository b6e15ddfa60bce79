//! The page's files and what they ask for.

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::app::{App, PATIENCE};

#[tokio::test]
async fn what_is_typed_is_escaped_and_names_become_mentions() -> anyhow::Result<()> {
    let app = App::start().await?;
    let url = |path: &str| format!("{}{path}", app.sim.base_url());
    let changes = app.http.get(url("/page/changes?team=T0ACME")).send().await?;
    let typed =
        json!({"team": "T0ACME", "channel": "C0GENERAL", "user": "U0ADA", "text": "@EnableBot a < b"});
    let posted: Value = app.http.post(url("/page/post")).json(&typed).send().await?.json().await?;
    let messages = app.sim.messages("T0ACME", "general");
    assert_eq!(messages[0].text, "<@U0BOT0ACME> a &lt; b");
    assert_eq!(posted["ts"], messages[0].ts);
    let first = tokio::time::timeout(PATIENCE, changes.bytes_stream().next()).await?;
    let event = String::from_utf8(first.transpose()?.unwrap_or_default().to_vec())?;
    assert!(event.contains(&messages[0].ts), "{event}");
    let team: Value = app.http.get(url("/page/team")).send().await?.json().await?;
    assert_eq!(team["bot"]["user"], "U0BOT0ACME");
    let shown: Value =
        app.http.get(url("/page/messages?team=T0ACME&channel=C0GENERAL")).send().await?.json().await?;
    assert_eq!(shown["messages"][0]["ts"], posted["ts"]);
    Ok(())
}

#[tokio::test]
async fn the_files_are_there() -> anyhow::Result<()> {
    let app = App::start().await?;
    for (path, kind) in
        [("/", "text/html"), ("/assets/app.js", "text/javascript"), ("/assets/base.css", "text/css")]
    {
        let answer = app.http.get(format!("{}{path}", app.sim.base_url())).send().await?;
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.headers()["content-type"].to_str()?.starts_with(kind), "{path}");
    }
    let missing = app.http.get(format!("{}/assets/../Cargo.toml", app.sim.base_url())).send().await?;
    assert_eq!(missing.status(), 404);
    Ok(())
}
