//! Files in messages: the model gets those that it can read, and the reply mentions the others.

use std::net::TcpListener;

use serde_json::{Value, json};
use simulator::{NewFile, PostMessage};

use crate::test_app::{ADA, BETA_ADA, TEAM, TestApp};

fn new_file(name: &str, content: impl Into<Vec<u8>>) -> NewFile {
    let content: Vec<u8> = content.into();
    NewFile { name: name.into(), content: content.into(), ..NewFile::default() }
}

/// Starts an installed app with a fast model.
async fn installed_with_fast_model() -> TestApp {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    app
}

impl TestApp {
    fn post_with_files(&self, user: &str, channel: &str, text: &str, files: Vec<NewFile>) -> String {
        let message = PostMessage { files, ..self.new_message(user, channel, None, text) };
        self.simulator.post(message).expect("Slack takes it")
    }

    /// Returns the last request to the model: its text, and the addresses of its images.
    fn last_question(&self) -> (String, Vec<String>) {
        let content = self.last_prompt().pop().expect("a question")["content"].take();
        let Value::Array(parts) = content else {
            return (content.as_str().expect("text").to_owned(), Vec::new());
        };
        let text = parts[0]["text"].as_str().expect("text").to_owned();
        let images = parts.iter().filter_map(|part| part["image_url"]["url"].as_str());
        (text, images.map(str::to_owned).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_file_and_image_reach_model() {
    let app = installed_with_fast_model().await;
    let files = vec![new_file("notes.txt", "remember the milk"), new_file("cat.png", *b"\x89PNG cat")];
    // A mention with files arrives as one message, without an app_mention event.
    let ts = app.post_with_files(ADA, "general", "@bot what is this?", files);
    app.wait_reply("general", &ts).await;
    let (text, images) = app.last_question();
    for part in ["what is this?", "`notes.txt`", "remember the milk", "`cat.png`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(images, ["data:image/png;base64,iVBORyBjYXQ="]);
    // The text is still known later in the thread.
    app.post(ADA, "general", Some(&ts), "say: What was I to remember?");
    app.wait_replies("general", &ts, 2).await;
    assert!(json!(app.last_prompt()).to_string().contains("remember the milk"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_alone_are_answered() {
    let app = installed_with_fast_model().await;
    let ts = app.post_with_files(ADA, &app.dm(ADA), "", vec![new_file("task.md", "say: Done as written.")]);
    // The offline model also repeats the marker after the file's content.
    assert!(app.wait_reply(&app.dm(ADA), &ts).await.starts_with("Done as written."));
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_files_are_named_in_reply() {
    let app = installed_with_fast_model().await;
    let files = vec![
        new_file("small.csv", "a,b"),
        new_file("big.txt", "x".repeat(100_001)),
        new_file("plan.pdf", "%PDF"),
        new_file("odd.txt", [0xff, 0xfe, 0x00]),
    ];
    let ts = app.post_with_files(ADA, &app.dm(ADA), "say: As far as I can.", files);
    let reply = app.wait_reply(&app.dm(ADA), &ts).await;
    assert!(reply.starts_with("As far as I can."), "{reply}");
    assert!(reply.ends_with("_I could not read `big.txt`, `plan.pdf`, `odd.txt`._"), "{reply}");
    let (text, _) = app.last_question();
    assert!(text.contains("a,b") && !text.contains("xxx"), "{text}");
    assert_eq!(app.slack_calls("files-pri").len(), 2, "what will not be read is not fetched");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_dropped_if_model_refuses_them() {
    let app = installed_with_fast_model().await;
    app.simulator.set_model_options("ttft=0&gap=0&fail=400&fail_times=1");
    let ts = app.post_with_files(ADA, &app.dm(ADA), "Look!", vec![new_file("cat.png", *b"\x89PNG cat")]);
    let reply = app.wait_reply(&app.dm(ADA), &ts).await;
    assert!(reply.ends_with("_I could not read `cat.png`._"), "{reply}");
    assert_eq!(app.simulator.model_requests().len(), 2);
    let (text, images) = app.last_question();
    assert!(text.starts_with("Look!") && images.is_empty(), "{text} {images:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn external_file_is_fetched_by_files_info() {
    let app = installed_with_fast_model().await;
    app.simulator.add_team("T0BETA", "Beta");
    app.simulator.share_channel(TEAM, "general", "T0BETA").expect("two teams");
    app.run_cli(&["channels", "allow-external", TEAM, "C0GENERAL"]);
    let files = vec![new_file("offer.txt", "ten herons")];
    let ts = app.post_with_files(BETA_ADA, "general", "@bot our offer", files);
    app.wait_reply("general", &ts).await;
    let (text, _) = app.last_question();
    assert!(text.contains("ten herons"), "{text}");
    assert!(text.ends_with("</outside>"), "their files are theirs as their words are: {text}");
    assert_eq!(app.slack_calls("files.info").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_files_scope_is_named_in_reply() {
    let app = TestApp::start().await;
    let begun = app.begin_install().await;
    let fewer = begun.authorize_url.replacen("files%3Aread", "", 1);
    let back = app.simulator.allow(&fewer).expect("Slack allows it");
    assert_eq!(app.finish_install(&back, Some(&begun.cookie)).await.status(), 200);
    app.wait_idle().await;
    let ts = app.post_with_files(ADA, &app.dm(ADA), "say: Well.", vec![new_file("notes.txt", "milk")]);
    let reply = app.wait_reply(&app.dm(ADA), &ts).await;
    assert!(reply.starts_with("Well.") && reply.ends_with("_I could not read `notes.txt`._"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn file_token_is_not_sent_to_foreign_host() {
    let app = installed_with_fast_model().await;
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("it does not wait");
    let foreign = format!("http://{}/files-pri/notes.txt", trap.local_addr().expect("an address"));
    let ts = app.post(ADA, "general", None, "look");
    let bot = app.simulator.installation(TEAM).expect("installed").bot_user_id;
    let files = ["url_private", "url_private_download"]
        .map(|key| json!({"id": key, "name": key, "mimetype": "text/plain", "size": 4, key: foreign}));
    app.simulator.deliver_event(TEAM, json!({
        "type": "app_mention", "channel": "C0GENERAL", "channel_type": "channel", "user": ADA, "team": TEAM,
        "text": format!("<@{bot}> say: No."), "ts": ts, "event_ts": ts, "files": files,
    }));
    let reply = app.wait_reply("general", &ts).await;
    assert!(reply.ends_with("_I could not read `url_private`, `url_private_download`._"), "{reply}");
    assert!(trap.accept().is_err(), "no connection");
}
