//! Files and responses to commands: the hosts and sizes that are allowed.

use models::ChannelId;
use slack::{SlackError, SlackErrorKind};

use crate::server::{MockResponse, MockServer, bot};

fn error_code<T: std::fmt::Debug>(result: Result<T, SlackError>) -> String {
    result.unwrap_err().code().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn token_is_sent_to_slack_hosts_only() {
    let server = MockServer::start(|_, _| MockResponse::status(500)).await;
    let client = server.client();
    let foreign = [
        "https://evil.example/files-pri/T1-F1/a.txt",
        "https://files.slack.com.evil.example/a.txt",
        "https://evilfiles.slack.com/a.txt",
        "http://files.slack.com/a.txt",
        "https://files.slack.com@evil.example/a.txt",
        "file:///etc/passwd",
        "nonsense",
        &format!("{}0/a.txt", server.url),
    ];
    for url in foreign {
        assert_eq!(error_code(client.download_file(&bot("T1"), url, 10).await), "foreign_file_url", "{url}");
        assert_eq!(error_code(client.respond(&url.into(), "Hi").await), "foreign_response_url", "{url}");
    }
    assert!(server.paths().is_empty());
}

#[tokio::test]
async fn download_stops_at_size_limit() {
    let server = MockServer::start(|_, _| MockResponse::text("0123456789")).await;
    let (client, url) = (server.client(), format!("{}/files-pri/T1-F1/a.txt", server.url));
    assert_eq!(client.download_file(&bot("T1"), &url, 10).await.unwrap(), "0123456789");
    assert_eq!(error_code(client.download_file(&bot("T1"), &url, 9).await), "too_large");
    assert!(server.requests()[0].head.contains("authorization: bearer xoxb-secret"));
}

#[tokio::test]
async fn sign_in_page_is_not_downloaded() {
    let server = MockServer::start(|request, _| match request.path.as_str() {
        "/redirected" => MockResponse::status(302).with_header("location: /signin"),
        _ => MockResponse::text("<html>").with_header("content-type: text/html; charset=utf-8"),
    })
    .await;
    let client = server.client();
    for path in ["/a.txt", "/redirected"] {
        let url = format!("{}{path}", server.url);
        assert_eq!(
            error_code(client.download_file(&bot("T1"), &url, 100).await),
            "not_downloadable",
            "{path}"
        );
    }
    assert_eq!(
        client.download_file(&bot("T1"), &format!("{}/a.html", server.url), 100).await.unwrap(),
        "<html>"
    );
    assert_eq!(server.paths(), ["/a.txt", "/redirected", "/a.html"]);
}

#[tokio::test]
async fn upload_takes_three_calls() {
    let (url_sender, url) = tokio::sync::watch::channel(String::new());
    let server = MockServer::start(move |request, _| match request.path.as_str() {
        "/api/files.getUploadURLExternal" => MockResponse::json(&format!(
            r#"{{"ok":true,"file_id":"F1","upload_url":"{}/upload/secret"}}"#,
            *url.borrow()
        )),
        _ => MockResponse::json(r#"{"ok":true}"#),
    })
    .await;
    url_sender.send(server.url.clone()).unwrap();
    let channel_id = ChannelId::from("D1");
    server.client().upload_file(&bot("T1"), &channel_id, "a.json", "[1]", "Yours").await.unwrap();
    let requests = server.requests();
    let bodies: Vec<&str> = requests.iter().map(|request| request.body.as_str()).collect();
    assert_eq!(bodies[..2], ["filename=a.json&length=3", "[1]"]);
    assert!(!requests[1].head.contains("authorization"));
    let complete: serde_json::Value = serde_json::from_str(bodies[2]).unwrap();
    assert_eq!(
        complete,
        serde_json::json!({
            "files": [{ "id": "F1", "title": "a.json" }], "channel_id": "D1", "initial_comment": "Yours",
        })
    );
}

#[tokio::test]
async fn response_url_call_is_not_retried() {
    let server = MockServer::start(|_, before| match before {
        0 => MockResponse::text("ok"),
        1 => MockResponse { status: 404, ..MockResponse::json(r#"{"ok":false,"error":"used_url"}"#) },
        2 => MockResponse::status(403),
        _ => MockResponse::status(500),
    })
    .await;
    let url = format!("{}/commands/T1/1/secret", server.url).into();
    let client = server.client();
    assert!(client.respond(&url, "**Hi**").await.is_ok());
    let sent: serde_json::Value = serde_json::from_str(&server.requests()[0].body).unwrap();
    assert_eq!((&sent["response_type"], &sent["text"]), (&"ephemeral".into(), &"Hi".into()));
    assert_eq!(error_code(client.respond(&url, "Hi").await), "used_url");
    assert_eq!(error_code(client.respond(&url, "Hi").await), "http_403");
    let error = client.respond(&url, "Hi").await.unwrap_err();
    assert_eq!(error.kind(), SlackErrorKind::Transient);
    assert!(!error.to_string().contains("secret"));
    assert_eq!(server.paths().len(), 4);
}
