//! The client, with errors, rate limits and older APIs of Slack.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use models::{ChannelId, EventId, MessageTs, TeamId, UserId};
use slack::{
    BotAuth, Buttons, MessageMetadata, MessageUpdate, NewMessage, SUGGESTED_PROMPTS, SendGuard, SlackError,
    SlackErrorKind, ThreadStatus,
};

use crate::server::{MockResponse, MockServer, bot};

fn channel() -> ChannelId {
    ChannelId::from("C1")
}

fn ts() -> MessageTs {
    MessageTs::from("1.5")
}

fn metadata() -> MessageMetadata {
    MessageMetadata { event_id: EventId::from("Ev1"), part_start: 0 }
}

async fn post(client: &slack::Client, bot: &BotAuth) -> Result<MessageTs, SlackError> {
    let (channel_id, metadata) = (channel(), metadata());
    let message = NewMessage {
        channel_id: &channel_id,
        thread_ts: None,
        markdown: "Hi",
        metadata: &metadata,
        buttons: None,
    };
    client.post_message(bot, &message).await
}

async fn update(client: &slack::Client, bot: &BotAuth, buttons: Option<Buttons>) -> Result<(), SlackError> {
    let (channel_id, ts, metadata) = (channel(), ts(), metadata());
    let update =
        MessageUpdate { channel_id: &channel_id, ts: &ts, markdown: "**Hi**", metadata: &metadata, buttons };
    client.update_message(bot, &update).await
}

#[tokio::test]
async fn update_is_retried_and_post_is_not() {
    let server = MockServer::start(|_, before| {
        if before < 2 { MockResponse::status(503) } else { MockResponse::json(r#"{"ok":true,"ts":"1.5"}"#) }
    })
    .await;
    assert!(update(&server.client(), &bot("T1"), None).await.is_ok());
    assert_eq!(server.paths(), ["/api/chat.update"; 3]);

    let server = MockServer::start(|_, _| MockResponse::status(503)).await;
    let result = post(&server.client(), &bot("T1")).await;
    assert_eq!(result.map_err(|error| error.kind()), Err(SlackErrorKind::Transient));
    assert_eq!(server.paths(), ["/api/chat.postMessage"]);
}

#[tokio::test]
async fn call_is_not_sent_after_lease_loss() {
    let server = MockServer::start(|_, _| MockResponse::json(r#"{"ok":true,"ts":"1.5"}"#)).await;
    let is_held = Arc::new(AtomicBool::new(true));
    let guard_is_held = Arc::clone(&is_held);
    let bot = BotAuth {
        send_guard: Some(SendGuard::new(move || guard_is_held.load(Ordering::Relaxed))),
        ..bot("T1")
    };
    assert!(post(&server.client(), &bot).await.is_ok());
    is_held.store(false, Ordering::Relaxed);
    for _ in 0..2 {
        let not_sent = post(&server.client(), &bot).await;
        assert!(matches!(not_sent, Err(SlackError::LeaseLost { .. })), "{not_sent:?}");
    }
    let not_sent = update(&server.client(), &bot, None).await;
    assert!(matches!(not_sent, Err(SlackError::LeaseLost { .. })), "{not_sent:?}");
    assert_eq!(server.paths(), ["/api/chat.postMessage"], "the other calls were not sent");
}

#[tokio::test]
async fn http_429_backs_off_method_of_tenant() {
    let server = MockServer::start(|request, before| {
        let ok = MockResponse::json(r#"{"ok":true,"ts":"1.5"}"#);
        match (request.path.as_str(), before) {
            ("/api/chat.postMessage", 0) => MockResponse::status(429).with_header("retry-after: 30"),
            ("/api/chat.update", 1) => MockResponse::status(429).with_header("retry-after: 1"),
            _ => ok,
        }
    })
    .await;
    let client = server.client();
    let limit = |result: Result<(), SlackError>| match result.map_err(|error| error.kind()) {
        Err(SlackErrorKind::RateLimited(wait)) => wait,
        other => panic!("expected a rate limit, got {other:?}"),
    };
    assert_eq!(limit(post(&client, &bot("T1")).await.map(drop)), Duration::from_secs(30));
    assert_eq!(limit(update(&client, &bot("T1"), None).await), Duration::from_secs(1));
    // A long limit is returned at once, without a call, by every clone of the client.
    assert!(limit(post(&client.clone(), &bot("T1")).await.map(drop)) > Duration::from_secs(25));
    assert_eq!(server.paths().len(), 2);
    // Another tenant is not limited, and this tenant waits out a short limit.
    assert!(post(&client, &bot("T2")).await.is_ok());
    let start = Instant::now();
    assert!(update(&client, &bot("T1"), None).await.is_ok());
    assert!(start.elapsed() > Duration::from_millis(700));
    assert_eq!(server.paths().len(), 4);
}

#[tokio::test]
async fn org_install_sends_team_id_on_every_call() {
    let server =
        MockServer::start(|_, _| MockResponse::json(r#"{"ok":true,"ts":"1.5","user":{"team_id":"T1"}}"#))
            .await;
    let bot = BotAuth { team_id: Some(TeamId::from("T1")), ..bot("E1") };
    post(&server.client(), &bot).await.unwrap();
    server.client().fetch_user(&bot, &UserId::from("U1")).await.unwrap();
    let bodies: Vec<String> = server.requests().into_iter().map(|request| request.body).collect();
    assert!(bodies[0].contains(r#""team_id":"T1""#), "{}", bodies[0]);
    assert_eq!(bodies[1], "user=U1&team_id=T1");
}

#[tokio::test]
async fn update_sets_and_clears_buttons() {
    let server = MockServer::start(|_, _| MockResponse::json(r#"{"ok":true}"#)).await;
    for buttons in [Some(Buttons::Stop), None] {
        update(&server.client(), &bot("T1"), buttons).await.unwrap();
    }
    let sent: Vec<serde_json::Value> =
        server.requests().iter().map(|request| serde_json::from_str(&request.body).unwrap()).collect();
    assert_eq!((&sent[0]["text"], &sent[0]["blocks"][0]["text"]), (&"Hi".into(), &"**Hi**".into()));
    assert_eq!((sent[1].get("blocks"), &sent[1]["markdown_text"]), (None, &"**Hi**".into()));
}

#[tokio::test]
async fn missing_agent_sessions_are_remembered() {
    let server = MockServer::start(|request, _| {
        let is_missing = request.path.starts_with("/api/agents.");
        MockResponse::json(if is_missing {
            r#"{"ok":false,"error":"feature_disabled"}"#
        } else {
            r#"{"ok":true}"#
        })
    })
    .await;
    let client = server.client();
    for status in [ThreadStatus::Processing, ThreadStatus::Active] {
        client.set_status(&bot("T1"), &channel(), &ts(), status).await.unwrap();
    }
    client.set_title(&bot("T1"), &channel(), &ts(), &"ä".repeat(300)).await.unwrap();
    client.set_title(&bot("T1"), &channel(), &ts(), " ").await.unwrap();
    client.set_suggested_prompts(&bot("T1"), &channel(), None, SUGGESTED_PROMPTS).await.unwrap();
    assert_eq!(
        server.paths(),
        [
            "/api/agents.sessions.setStatus",
            "/api/assistant.threads.setStatus",
            "/api/assistant.threads.setStatus",
            "/api/assistant.threads.setTitle",
            "/api/assistant.threads.setSuggestedPrompts",
        ]
    );
    let title = &server.requests()[3].body;
    assert_eq!(title.matches('ä').count(), 200);
}

#[tokio::test]
async fn missing_agent_apis_are_remembered() {
    let server =
        MockServer::start(|_, _| MockResponse::json(r#"{"ok":false,"error":"not_agent_app"}"#)).await;
    let client = server.client();
    assert!(client.set_status(&bot("T1"), &channel(), &ts(), ThreadStatus::Processing).await.is_err());
    assert!(client.set_status(&bot("T1"), &channel(), &ts(), ThreadStatus::Active).await.is_ok());
    assert_eq!(server.paths().len(), 2);
}

#[tokio::test]
async fn token_refresh_is_not_retried() {
    let server = MockServer::start(|_, before| match before {
        0 => MockResponse::json(
            r#"{"ok":true,"access_token":"xoxe.xoxb-2","refresh_token":"xoxe-2","expires_in":43200}"#,
        ),
        _ => MockResponse::status(500),
    })
    .await;
    use secrecy::ExposeSecret;
    let client = server.client();
    let refresh = || client.refresh_bot_token("id", &SECRET, &REFRESH_TOKEN);
    static SECRET: std::sync::LazyLock<secrecy::SecretString> = std::sync::LazyLock::new(|| "secret".into());
    static REFRESH_TOKEN: std::sync::LazyLock<secrecy::SecretString> =
        std::sync::LazyLock::new(|| "xoxe-1".into());
    let (token, rotation) = refresh().await.unwrap();
    assert_eq!((token.expose_secret(), rotation.refresh_token.expose_secret()), ("xoxe.xoxb-2", "xoxe-2"));
    assert_eq!(rotation.expires_in, Duration::from_secs(43_200));
    assert_eq!(server.requests()[0].body, "grant_type=refresh_token&refresh_token=xoxe-1");
    // A refresh token works once: a lost response is not requested again.
    assert!(refresh().await.is_err());
    assert_eq!(server.paths().len(), 2);
}
