//! Traces: one trace from an event to its reply, across replicas, without any message content.

use std::fs;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use xtask::cluster::free_port;
use xtask::service::{Service, Variables};
use xtask::settings::SIGNING_SECRET;

use crate::fixtures::binaries;
use crate::otel_collector::{COLLECTOR_AUTHORIZATION, CollectedSpan, OtelCollector, otel_variables};
use crate::test_app::{ADA, TEAM, TEST_TIMEOUT, TestApp};

/// Starts one replica that receives and one that replies.
async fn start_receiver_and_worker(collector: &OtelCollector) -> TestApp {
    let mut receiving = collector.variables("receiving");
    receiving.insert("MAX_CONCURRENT_REPLIES".into(), "0".into());
    let mut app = TestApp::start_with(|_| {}, &borrow_variables(&receiving)).await;
    app.add_api(free_port().expect("a port"), &borrow_variables(&collector.variables("answering")));
    app
}

fn borrow_variables(variables: &Variables) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

async fn wait_for_store_span(collector: &OtelCollector, event_id: &str) -> CollectedSpan {
    collector
        .wait_for_span("stored event", |span| span.name == "store" && span.attribute("event_id") == event_id)
        .await
}

/// Returns the names of the spans from the root of a trace to this one.
fn span_path(trace: &[CollectedSpan], span: &CollectedSpan) -> String {
    match trace.iter().find(|parent| parent.span_id == span.parent_id) {
        Some(parent) => format!("{} > {}", span_path(trace, parent), span.name),
        None => span.name.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_trace_spans_both_replicas() {
    let collector = OtelCollector::start().await;
    let app = start_receiver_and_worker(&collector).await;
    app.install().await;
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: The vault opens at noon.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "The vault opens at noon.");
    let event_id = app.find_event_id(&ts);
    let stored = wait_for_store_span(&collector, &event_id).await;
    let is_work = |span: &CollectedSpan| span.name == "work" && span.trace_id == stored.trace_id;
    let work = collector.wait_for_span("work", is_work).await;
    // The other replica sends its spans at its own time.
    collector.wait_for_span("request", |span| span.span_id == stored.parent_id).await;
    let trace = collector.spans_of_trace(&stored.trace_id);

    let paths: Vec<String> = trace.iter().map(|span| span_path(&trace, span)).collect();
    for expected in ["", " > claim", " > history", " > chat offline", " > commit", " > chat.startStream"] {
        let expected = format!("POST /slack/events > store > work{expected}");
        assert_eq!(paths.iter().filter(|path| **path == expected).count(), 1, "{expected}: {paths:#?}");
    }
    assert!(paths.iter().all(|path| path.starts_with("POST /slack/events")), "{paths:#?}");
    let named = |name: &str| trace.iter().find(|span| span.name == name).expect("just seen");
    let has = |name: &str, attribute: &str, value: &str| {
        assert_eq!(named(name).attribute(attribute), value, "{attribute} of {:#?}", named(name));
    };
    let request = named("POST /slack/events");
    assert_eq!((request.kind, request.parent_id.as_str(), request.is_error), (SpanKind::Server, "", false));
    has("POST /slack/events", "http.request.method", "POST");
    has("POST /slack/events", "http.route", "/slack/events");
    has("POST /slack/events", "http.response.status_code", "200");
    has("POST /slack/events", "service.name", "enablebot-api");
    has("store", "service.instance.id", "receiving");
    has("work", "service.instance.id", "answering");
    has("work", "tenant_id", TEAM);
    has("work", "event_id", &event_id);
    has("work", "attempt", "1");
    has("work", "channel_type", "im");
    has("work", "outcome", "answered");
    has("commit", "db.system.name", "postgresql");
    has("chat.startStream", "slack.result", "ok");
    has("chat offline", "gen_ai.request.model", "offline");
    let answered =
        app.database.query("select prompt_tokens, completion_tokens from usage order by seq desc limit 1");
    let (asked, said) = answered.split_once('|').expect("two numbers");
    has("chat offline", "gen_ai.usage.input_tokens", asked);
    has("chat offline", "gen_ai.usage.output_tokens", said);
    assert!(named("chat offline").nanos > 0 && named("chat offline").nanos <= work.nanos, "{trace:#?}");

    for (api, message) in [(&app.apis[0], "POST /slack/events 200"), (&app.apis[1], "answered at try 1")] {
        assert_eq!(
            logged_trace_ids(api, &event_id, message),
            [stored.trace_id.as_str()],
            "{:#?}",
            api.log_lines()
        );
    }
    assert_no_content_exported(&app, &collector, &event_id);
}

/// Returns the ids of the traces in which a replica logged this message about the event.
fn logged_trace_ids(api: &Service, event_id: &str, message: &str) -> Vec<String> {
    let lines = api.log_lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let lines = lines.filter(|line| line["event_id"] == event_id && line["message"] == message);
    lines.map(|line| line["trace_id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Asserts that no message, prompt or credential was exported.
fn assert_no_content_exported(app: &TestApp, collector: &OtelCollector, event_id: &str) {
    let sent = collector.raw_text();
    let token = app.simulator.installation(TEAM).expect("installed").token;
    let secrets = [&app.settings.secrets.encryption_keys, &app.settings.secrets.session_secret, &token];
    let said = [
        "vault",
        "noon",
        "You are EnableBot",
        SIGNING_SECRET,
        "simulated-client-secret",
        "xoxb",
        COLLECTOR_AUTHORIZATION,
    ];
    for hidden in said.into_iter().chain(secrets.into_iter().map(String::as_str)) {
        assert!(!sent.contains(hidden), "{hidden} was sent to the collector");
    }
    for shown in [event_id, "chat.startStream", "gen_ai.usage.output_tokens"] {
        assert!(sent.contains(shown), "the bytes can be searched: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_kill_keeps_trace() {
    let collector = OtelCollector::start().await;
    let mut app = start_receiver_and_worker(&collector).await;
    app.install().await;
    app.simulator.set_model_options("ttft=100&gap=100");
    let (dm, text) = (app.dm(ADA), "It is a long answer, so that there is time to die in the midst of it.");
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    let begins = |world: &simulator::FakeSlack| {
        world.thread(TEAM, &dm, &ts).iter().any(|message| message.is_streaming).then_some(())
    };
    app.simulator.wait_for(begins, TEST_TIMEOUT).await.expect("the answer begins");
    let stored = wait_for_store_span(&collector, &app.find_event_id(&ts)).await;
    let is_try = |span: &CollectedSpan, name: &str, attempt: &str| {
        (span.name.as_str(), span.attribute("attempt"), &span.trace_id) == (name, attempt, &stored.trace_id)
    };
    collector.wait_for_span("first try", |span| is_try(span, "claim", "1")).await;
    app.apis[1].kill().expect("it is killed");
    app.add_api(free_port().expect("a port"), &borrow_variables(&collector.variables("taking over")));
    assert_eq!(app.wait_reply(&dm, &ts).await, text);
    let second = collector.wait_for_span("second try", |span| is_try(span, "work", "2")).await;
    assert_eq!(
        (second.attribute("service.instance.id"), second.attribute("outcome")),
        ("taking over", "answered")
    );
    assert_eq!(second.parent_id, stored.span_id);
    let claims: Vec<CollectedSpan> =
        collector.spans_of_trace(&stored.trace_id).into_iter().filter(|span| span.name == "claim").collect();
    let claims: Vec<_> = claims
        .iter()
        .map(|span| (span.attribute("attempt"), span.attribute("service.instance.id")))
        .collect();
    assert_eq!(claims, [("1", "answering"), ("2", "taking over")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn installs_and_chats_are_traced() {
    let collector = OtelCollector::start().await;
    let mut app = TestApp::start_with(|_| {}, &borrow_variables(&collector.variables("api"))).await;
    app.web.kill().expect("it is killed");
    app.web = app.add_web_with(app.settings.ports.web, &borrow_variables(&collector.variables("web")));
    app.install().await;
    let is_welcome = |span: &CollectedSpan| span.name == "work" && span.attribute("event_kind") == "welcome";
    let welcome = collector.wait_for_span("welcome", is_welcome).await;
    let trace = collector.spans_of_trace(&welcome.trace_id);
    let request = trace.iter().find(|span| span.parent_id.is_empty()).expect("a beginning");
    assert_eq!(request.name, "GET /slack/oauth/callback");
    assert_eq!(request.attribute("service.name"), "enablebot-web");
    assert!(trace.iter().any(|span| span.name == "oauth.v2.access"), "{trace:#?}");

    let key = app.create_api_key(ADA, &["chat"]).await;
    app.chat(&key, json!({ "message": "say: By a program." })).await;
    let answered = collector.wait_for_span("answer", |span| span.name == "answer").await;
    let is_request = |span: &CollectedSpan| span.span_id == answered.parent_id;
    assert_eq!(collector.wait_for_span("its request", is_request).await.name, "POST /api/chat");
    assert!(
        collector
            .spans()
            .iter()
            .any(|span| span.parent_id == answered.span_id && span.name == "chat offline")
    );

    let (trace_id, span_id) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let url = format!("{}/slack/events", app.apis[0].url());
    for (path, traceparent) in [
        ("/slack/events", format!("00-{trace_id}-{span_id}-01")),
        ("/slack/commands", "00-not-a-trace".to_owned()),
        ("/slack/interactions", format!("00-{}-{span_id}-00", trace_id.replace('4', "5"))),
    ] {
        let request = app.http.post(url.replace("/slack/events", path)).header("traceparent", traceparent);
        assert_eq!(request.send().await.expect("an answer").status(), 401);
    }
    let refused =
        collector.wait_for_span("refused", |span| span.attribute("http.response.status_code") == "401").await;
    assert_eq!((refused.name.as_str(), refused.is_error), ("POST /slack/events", false));
    assert_eq!((refused.trace_id.as_str(), refused.parent_id.as_str()), (trace_id, span_id));
    let own = collector.wait_for_span("one of its own", |span| span.name == "POST /slack/commands").await;
    assert!(own.parent_id.is_empty() && own.trace_id != trace_id, "{own:?}");
    // A request without the sampled flag is not exported.
    app.apis[0].stop().expect("it ends");
    let names: Vec<String> = collector.spans().into_iter().map(|span| span.name).collect();
    assert!(!names.iter().any(|name| name.contains("interactions") || name.contains("health")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn collector_outage_blocks_nothing() {
    let began = Instant::now();
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = format!("http://{}", silent.local_addr().expect("an address"));
    let away = format!("http://127.0.0.1:{}", free_port().expect("a port"));
    let mut app = TestApp::start_with(|_| {}, &borrow_variables(&otel_variables(&away, "away"))).await;
    app.install().await;
    app.add_api(free_port().expect("a port"), &borrow_variables(&otel_variables(&silent, "silent")));
    app.balance_events();
    let dm = app.dm(ADA);
    for number in 0..8 {
        let ts = app.send_dm(ADA, None, &format!("say: Answer {number}."));
        assert_eq!(app.wait_reply(&dm, &ts).await, format!("Answer {number}."));
    }
    let told = |app: &TestApp| {
        let lines = app.apis[0].log_lines();
        lines.iter().filter(|line| line.contains("trace export failed")).count()
    };
    let begun = Instant::now();
    while told(&app) == 0 {
        assert!(begun.elapsed() < TEST_TIMEOUT, "{}", app.api_logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for api in &mut app.apis {
        let begun = Instant::now();
        let status = api.stop().expect("it ends");
        assert!(
            status.success() && begun.elapsed() < Duration::from_secs(30),
            "{status} {:?}",
            begun.elapsed()
        );
    }
    let minutes = began.elapsed().as_secs() as usize / 60;
    assert!(told(&app) <= 1 + minutes, "once a minute, and not for each batch: {}", app.api_logs());
    assert!(!app.api_logs().contains("panicked"), "{}", app.api_logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn tracing_is_off_without_collector() {
    let collector = OtelCollector::start().await;
    let mut app = TestApp::installed().await;
    let ts = app.send_dm(ADA, None, "say: As ever.");
    app.wait_reply(&app.dm(ADA), &ts).await;
    for service in [&app.web, &app.apis[0]] {
        assert!(
            !has_exporter_thread(service) && !service.log_lines().join("\n").contains("trace_id"),
            "{:?}",
            service.log_lines()
        );
    }
    app.add_api(free_port().expect("a port"), &borrow_variables(&collector.variables("other")));
    assert!(has_exporter_thread(&app.apis[1]), "with one there is the thread that sends");

    let mut wrong = app.settings.api_variables();
    wrong.insert("OTEL_EXPORTER_OTLP_ENDPOINT".into(), "collector:4318".into());
    let api = binaries().path("api").expect("api");
    let told = xtask::service::run_command(api, &[], &wrong).expect_err("it does not start").to_string();
    assert!(told.contains("OTEL_EXPORTER_OTLP_ENDPOINT does not begin with http"), "{told}");
}

/// Returns whether a process has the exporter's thread. The kernel keeps 15 characters of its name.
fn has_exporter_thread(service: &Service) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", service.pid())).expect("a process");
    let mut names = threads.flatten().filter_map(|one| fs::read_to_string(one.path().join("comm")).ok());
    names.any(|name| name.starts_with("OpenTelemetry"))
}
