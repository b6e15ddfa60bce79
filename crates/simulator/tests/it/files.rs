//! Attached, downloaded and uploaded files.

use anyhow::Context;
use serde_json::{Value, json};
use simulator::{NewFile, PostMessage};

use crate::fake_app::{BOT_SCOPES, FakeApp};

/// The app, which may read and write files.
async fn start_with_files() -> anyhow::Result<FakeApp> {
    let app = FakeApp::start().await?;
    app.sim.install("T0ACME", &["files:read", "files:write"])?;
    Ok(app)
}

fn notes_message(user: &str, text: &str) -> PostMessage {
    let file = NewFile {
        name: "my notes.txt".into(),
        mimetype: "text/plain".into(),
        content: "remember the milk".into(),
    };
    PostMessage {
        team: "T0ACME".into(),
        channel: "general".into(),
        user: user.into(),
        text: text.into(),
        files: vec![file],
        ..PostMessage::default()
    }
}

#[tokio::test]
async fn mention_with_file_is_one_event() -> anyhow::Result<()> {
    let app = start_with_files().await?;
    app.sim.post(notes_message("U0ADA", "<@U0BOT0ACME> what is this?"))?;
    app.post_as_ada("general", "next")?;
    let received = app.received(2).await?;
    let events: Vec<&Value> = received.iter().map(|received| &received.envelope["event"]).collect();
    let event = events.iter().find(|event| event["subtype"] == "file_share").context("the file")?;
    assert_eq!((&event["type"], event.get("team")), (&json!("message"), None));
    let file = &event["files"][0];
    assert_eq!((&file["name"], &file["mimetype"]), (&json!("my notes.txt"), &json!("text/plain")));
    assert_eq!((&file["mode"], &file["size"]), (&json!("hosted"), &json!(17)));
    assert!(events.iter().all(|event| event["type"] != "app_mention"));
    Ok(())
}

#[tokio::test]
async fn download_requires_valid_token() -> anyhow::Result<()> {
    let app = start_with_files().await?;
    app.sim.post(notes_message("U0ADA", "here"))?;
    let event = app.received(1).await?.remove(0).envelope["event"].clone();
    let url = event["files"][0]["url_private_download"].as_str().context("an address")?;
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let file = http.get(url).bearer_auth(&app.token).send().await?;
    assert_eq!(file.headers()["content-type"], "text/plain");
    assert_eq!(file.text().await?, "remember the milk");
    let away = http.get(url).send().await?;
    assert_eq!(away.status(), 302);
    assert!(away.headers()["location"].to_str()?.starts_with("/signin?redir=%2Ffiles-pri"));
    app.sim.add_team("T0BETA", "Beta");
    let other = app.sim.install("T0BETA", &[&BOT_SCOPES[..], &["files:read"]].concat())?.token;
    for wrong in [other.as_str(), "xoxb-no"] {
        let page = http.get(url).bearer_auth(wrong).send().await?;
        assert_eq!(page.status(), 200);
        assert!(page.headers()["content-type"].to_str()?.starts_with("text/html"));
    }
    let missing = format!("{}/files-pri/T0ACME-F404/x.txt", app.sim.base_url());
    assert_eq!(http.get(missing).bearer_auth(&app.token).send().await?.status(), 404);
    Ok(())
}

#[tokio::test]
async fn external_file_requires_files_info() -> anyhow::Result<()> {
    let app = start_with_files().await?;
    app.sim.add_team("T0BETA", "Beta");
    app.sim.post(notes_message("U0ADABETA", "here"))?;
    let event = app.received(1).await?.remove(0).envelope["event"].clone();
    let stub = &event["files"][0];
    assert_eq!((&stub["file_access"], stub.get("url_private")), (&json!("check_file_info"), None));
    let id = stub["id"].as_str().context("an id")?;
    let told = app.read("files.info", &[("file", id)]).await?;
    assert_eq!(told["file"]["name"], "my notes.txt");
    let url = told["file"]["url_private"].as_str().context("an address")?;
    let file = app.http.get(url).bearer_auth(&app.token).send().await?;
    assert_eq!(file.text().await?, "remember the milk");
    assert_eq!(app.read("files.info", &[("file", "F404")]).await?["error"], "file_not_found");
    Ok(())
}

#[tokio::test]
async fn file_read_requires_scope() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.post(notes_message("U0ADA", "here"))?;
    let event = app.received(1).await?.remove(0).envelope["event"].clone();
    let url = event["files"][0]["url_private"].as_str().context("an address")?;
    let page = app.http.get(url).bearer_auth(&app.token).send().await?;
    assert!(page.text().await?.contains("Sign in"));
    assert_eq!(app.read("files.info", &[("file", "F1")]).await?["needed"], "files:read");
    Ok(())
}

/// Announces an upload; returns its URL and the file id.
async fn announce_upload(app: &FakeApp, length: &str) -> anyhow::Result<(String, String)> {
    let url = format!("{}/api/files.getUploadURLExternal", app.sim.base_url());
    let form = [("filename", "export.json"), ("length", length)];
    let answer: Value = app.http.post(url).bearer_auth(&app.token).form(&form).send().await?.json().await?;
    let text = |key: &str| answer[key].as_str().map(str::to_owned).with_context(|| answer.to_string());
    Ok((text("upload_url")?, text("file_id")?))
}

#[tokio::test]
async fn upload_appears_in_thread() -> anyhow::Result<()> {
    let app = start_with_files().await?;
    let root = app.post_as_ada("general", "export, please")?;
    let json_is_not_read = json!({"filename": "export.json", "length": 2});
    assert_eq!(app.call_error("files.getUploadURLExternal", json_is_not_read).await?, "missing_argument");
    let (url, id) = announce_upload(&app, "2").await?;
    let finish = json!({"files": [{"id": id, "title": "Export"}], "channel_id": "C0GENERAL",
        "thread_ts": root, "initial_comment": "Here it is."});
    assert_eq!(app.call_error("files.completeUploadExternal", finish.clone()).await?, "file_not_found");
    assert_eq!(app.http.post(&url).body("too long").send().await?.status(), 400);
    assert_eq!(app.http.post(&url).body("{}").send().await?.text().await?, "OK - 2");
    let answer = app.call("files.completeUploadExternal", finish.clone()).await?;
    assert_eq!(answer["files"], json!([{"id": id, "title": "Export"}]), "{answer}");
    let files = app.sim.files("T0ACME", "general");
    assert_eq!((files[0].name.as_str(), files[0].content.as_ref()), ("export.json", b"{}".as_slice()));
    let thread = app.sim.thread("T0ACME", "general", &root);
    assert_eq!((thread[1].text.as_str(), thread[1].files.len()), ("Here it is.", 1));
    assert_eq!(app.call_error("files.completeUploadExternal", finish).await?, "file_not_found");
    Ok(())
}

#[tokio::test]
async fn multipart_upload_is_accepted() -> anyhow::Result<()> {
    let app = start_with_files().await?;
    let (url, id) = announce_upload(&app, "2").await?;
    let form = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"e\"\r\n\r\n{}\r\n--x--\r\n";
    let request = app.http.post(url).header("content-type", "multipart/form-data; boundary=x");
    assert_eq!(request.body(form).send().await?.text().await?, "OK - 2");
    let finish = json!({"files": [{"id": id}], "channel_id": "C404"});
    assert_eq!(app.call_error("files.completeUploadExternal", finish).await?, "invalid_channel");
    let finish = json!({"files": [{"id": id}], "channel_id": "D0ADA"});
    assert_eq!(app.call("files.completeUploadExternal", finish).await?["ok"], true);
    assert_eq!(app.sim.files("T0ACME", "D0ADA")[0].title, "export.json");
    Ok(())
}
