//! Failures that a test asks for.

use std::time::{Duration, Instant};

use serde_json::json;
use simulator::Fault;

use crate::app::App;

#[tokio::test]
async fn a_lost_answer_had_its_effect() -> anyhow::Result<()> {
    let app = App::start().await?;
    app.sim.fail("chat.postMessage", Fault::AfterEffect, 1);
    let args = json!({"channel": "C0GENERAL", "text": "once"});
    assert!(app.call("chat.postMessage", args.clone()).await.is_err());
    assert_eq!(app.sim.messages("T0ACME", "general").len(), 1);
    assert_eq!(app.call("chat.postMessage", args).await?["ok"], true);
    Ok(())
}

#[tokio::test]
async fn other_faults_have_none() -> anyhow::Result<()> {
    let app = App::start().await?;
    let args = json!({"channel": "C0GENERAL", "text": "never"});
    app.sim.fail("chat.postMessage", Fault::Error("internal_error"), 2);
    for _ in 0..2 {
        assert_eq!(app.refusal("chat.postMessage", args.clone()).await?, "internal_error");
    }
    let url = format!("{}/api/chat.postMessage", app.sim.base_url());
    let send = || app.http.post(&url).bearer_auth(&app.token).json(&args).send();
    app.sim.fail("chat.postMessage", Fault::RateLimited { retry_after: 7 }, 1);
    let answer = send().await?;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"7".parse()?));
    app.sim.fail("chat.postMessage", Fault::Http(502), 1);
    assert_eq!(send().await?.status(), 502);
    assert!(app.sim.messages("T0ACME", "general").is_empty());
    app.sim.fail("chat.postMessage", Fault::Hang(Duration::from_millis(80)), 1);
    let started = Instant::now();
    assert_eq!(send().await?.status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(80));
    let errors: Vec<_> = app.sim.calls().into_iter().map(|call| call.error.unwrap_or_default()).collect();
    assert_eq!(errors, ["internal_error", "internal_error", "ratelimited", "http_error", ""]);
    Ok(())
}

#[tokio::test]
async fn posting_too_fast_is_limited_by_channel() -> anyhow::Result<()> {
    let app = App::with(|settings| settings.rate_limits = true).await?;
    for _ in 0..5 {
        app.call("chat.postMessage", json!({"channel": "C0GENERAL", "text": "x"})).await?;
    }
    let args = json!({"channel": "C0GENERAL", "text": "x"});
    assert_eq!(app.refusal("chat.postMessage", args).await?, "ratelimited");
    let args = json!({"channel": "D0ADA", "text": "x"});
    assert_eq!(app.call("chat.postMessage", args).await?["ok"], true);
    Ok(())
}
