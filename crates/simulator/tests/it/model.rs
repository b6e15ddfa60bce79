//! The model.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use simulator::{Simulator, SimulatorSettings};

async fn complete(
    sim: &Simulator,
    model: &str,
    text: &str,
    stream: bool,
) -> anyhow::Result<reqwest::Response> {
    complete_with_key(&reqwest::Client::builder().no_proxy().build()?, sim, model, text, stream).await
}

async fn complete_with_key(
    http: &reqwest::Client,
    sim: &Simulator,
    model: &str,
    text: &str,
    stream: bool,
) -> anyhow::Result<reqwest::Response> {
    let request = json!({
        "model": model, "stream": stream, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": text}],
    });
    let url = format!("{}/chat/completions", sim.model_url());
    Ok(http.post(url).bearer_auth("key").json(&request).send().await?)
}

fn parse_chunks(events: &str) -> anyhow::Result<Vec<Value>> {
    let data = events.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| Ok(serde_json::from_str(data)?)).collect()
}

#[tokio::test]
async fn verbatim_answer_is_streamed() -> anyhow::Result<()> {
    let sim = Simulator::start(SimulatorSettings::default()).await?;
    let answer = complete(&sim, "offline?ttft=50&gap=0", "say: one **two**\nthree", true).await?;
    let events = answer.text().await?;
    assert!(events.ends_with("data: [DONE]\n\n"));
    let chunks = parse_chunks(&events)?;
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "one **two**\nthree");
    let last = &chunks[chunks.len() - 2..];
    assert_eq!(last[0]["choices"][0]["finish_reason"], "stop");
    assert_eq!(last[1]["choices"], json!([]));
    assert_eq!(last[1]["usage"]["completion_tokens"], 3);
    assert_eq!(sim.model_requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn completion_without_stream_is_whole() -> anyhow::Result<()> {
    let sim = Simulator::start(SimulatorSettings::default()).await?;
    let answer: Value = complete(&sim, "offline?ttft=0&gap=0&words=80", "hello", false).await?.json().await?;
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    assert_eq!(text.split_whitespace().count(), 80);
    assert_eq!(answer["usage"]["completion_tokens"], 80);
    Ok(())
}

#[tokio::test]
async fn model_fails_configured_times() -> anyhow::Result<()> {
    let sim = Simulator::start(SimulatorSettings::default()).await?;
    sim.set_model_options("fail=503&fail_times=2&ttft=0&gap=0");
    for expected in [503, 503, 200] {
        assert_eq!(complete(&sim, "offline", "hello", true).await?.status(), expected);
    }
    let http = reqwest::Client::builder().no_proxy().build()?;
    let answer = http.get(format!("{}/models", sim.model_url())).send().await?;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.json::<Value>().await?["error"]["code"], "invalid_api_key");
    Ok(())
}

#[tokio::test]
async fn model_stream_cuts_or_stalls() -> anyhow::Result<()> {
    let sim = Simulator::start(SimulatorSettings::default()).await?;
    sim.set_model_options("ttft=0&gap=1");
    let mut stream = complete(&sim, "offline?cut=2", "say: a b c", true).await?.bytes_stream();
    let mut events = String::new();
    let broken = loop {
        match stream.next().await {
            Some(Ok(bytes)) => events.push_str(&String::from_utf8_lossy(&bytes)),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broken);
    assert_eq!(parse_chunks(&events)?.len(), 3);
    let stalled = complete(&sim, "offline?stall=1", "say: a b c", true).await?.text();
    assert!(tokio::time::timeout(Duration::from_millis(200), stalled).await.is_err());
    Ok(())
}

#[tokio::test]
async fn many_completions_run_concurrently() -> anyhow::Result<()> {
    let sim = Simulator::start(SimulatorSettings::default()).await?;
    sim.set_model_options("ttft=200&gap=5&words=40");
    let http = reqwest::Client::builder().no_proxy().build()?;
    let started = Instant::now();
    let all = (0..300).map(|_| async {
        anyhow::Ok(complete_with_key(&http, &sim, "offline", "hi", true).await?.text().await?)
    });
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|text| text.contains("[DONE]"))));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    Ok(())
}
