//! Injected failures.

use std::time::{Duration, Instant};

use serde_json::json;
use simulator::InjectedFault;

use crate::fake_app::FakeApp;

#[tokio::test]
async fn lost_response_keeps_effect() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.inject_fault("chat.postMessage", InjectedFault::ResponseLost, 1);
    let args = json!({"channel": "C0GENERAL", "text": "once"});
    assert!(app.call("chat.postMessage", args.clone()).await.is_err());
    assert_eq!(app.sim.messages("T0ACME", "general").len(), 1);
    assert_eq!(app.call("chat.postMessage", args).await?["ok"], true);
    Ok(())
}

#[tokio::test]
async fn other_faults_have_no_effect() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let args = json!({"channel": "C0GENERAL", "text": "never"});
    app.sim.inject_fault("chat.postMessage", InjectedFault::Error("internal_error"), 2);
    for _ in 0..2 {
        assert_eq!(app.call_error("chat.postMessage", args.clone()).await?, "internal_error");
    }
    let url = format!("{}/api/chat.postMessage", app.sim.base_url());
    let send = || app.http.post(&url).bearer_auth(&app.token).json(&args).send();
    app.sim.inject_fault("chat.postMessage", InjectedFault::RateLimited { retry_after: 7 }, 1);
    let answer = send().await?;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"7".parse()?));
    app.sim.inject_fault("chat.postMessage", InjectedFault::HttpStatus(502), 1);
    assert_eq!(send().await?.status(), 502);
    assert!(app.sim.messages("T0ACME", "general").is_empty());
    app.sim.inject_fault("chat.postMessage", InjectedFault::Delay(Duration::from_millis(80)), 1);
    let started = Instant::now();
    assert_eq!(send().await?.status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(80));
    let errors: Vec<_> = app.sim.calls().into_iter().map(|call| call.error.unwrap_or_default()).collect();
    assert_eq!(errors, ["internal_error", "internal_error", "ratelimited", "http_error", ""]);
    Ok(())
}

#[tokio::test]
async fn posting_is_rate_limited_per_channel() -> anyhow::Result<()> {
    let app = FakeApp::start_with(|settings| settings.has_rate_limits = true).await?;
    for _ in 0..5 {
        app.call("chat.postMessage", json!({"channel": "C0GENERAL", "text": "x"})).await?;
    }
    let args = json!({"channel": "C0GENERAL", "text": "x"});
    assert_eq!(app.call_error("chat.postMessage", args).await?, "ratelimited");
    let args = json!({"channel": "D0ADA", "text": "x"});
    assert_eq!(app.call("chat.postMessage", args).await?["ok"], true);
    Ok(())
}
