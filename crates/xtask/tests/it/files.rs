//! Files that come with a message: what the model can take reaches it, of the rest it is said.

use std::net::TcpListener;

use serde_json::{Value, json};
use simulator::{NewFile, PostMessage};

use crate::test_app::{ADA, TEAM, TestApp};

fn file(name: &str, content: impl Into<Vec<u8>>) -> NewFile {
    let content: Vec<u8> = content.into();
    NewFile { name: name.into(), content: content.into(), ..NewFile::default() }
}

/// Installed, with a model that does not take its time.
async fn installed() -> TestApp {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    app
}

impl TestApp {
    fn post_with(&self, user: &str, channel: &str, text: &str, files: Vec<NewFile>) -> String {
        let message = PostMessage { files, ..self.message(user, channel, None, text) };
        self.simulator.post(message).expect("Slack takes it")
    }

    /// What the model was last asked: the text, and the images' addresses.
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
async fn a_text_file_and_an_image_reach_the_model() {
    let app = installed().await;
    let files = vec![file("notes.txt", "remember the milk"), file("cat.png", *b"\x89PNG cat")];
    // A mention with files comes as one message, without an app_mention.
    let ts = app.post_with(ADA, "general", "@bot what is this?", files);
    app.reply("general", &ts).await;
    let (text, images) = app.last_question();
    for part in ["what is this?", "`notes.txt`", "remember the milk", "`cat.png`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(images, ["data:image/png;base64,iVBORyBjYXQ="]);
    // Later in the thread the text is still known.
    app.post(ADA, "general", Some(&ts), "say: What was I to remember?");
    app.replies("general", &ts, 2).await;
    assert!(json!(app.last_prompt()).to_string().contains("remember the milk"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_files_alone_is_answered() {
    let app = installed().await;
    let ts = app.post_with(ADA, &app.dm(ADA), "", vec![file("task.md", "say: Done as written.")]);
    // The offline model repeats the mark behind the file's content too.
    assert!(app.reply(&app.dm(ADA), &ts).await.starts_with("Done as written."));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_of_an_unknown_type_is_named_in_the_answer() {
    let app = installed().await;
    let files = vec![
        file("small.csv", "a,b"),
        file("big.txt", "x".repeat(100_001)),
        file("plan.pdf", "%PDF"),
        file("odd.txt", [0xff, 0xfe, 0x00]),
    ];
    let ts = app.post_with(ADA, &app.dm(ADA), "say: As far as I can.", files);
    let reply = app.reply(&app.dm(ADA), &ts).await;
    assert!(reply.starts_with("As far as I can."), "{reply}");
    assert!(reply.ends_with("_I could not read `big.txt`, `plan.pdf`, `odd.txt`._"), "{reply}");
    let (text, _) = app.last_question();
    assert!(text.contains("a,b") && !text.contains("xxx"), "{text}");
    assert_eq!(app.calls("files-pri").len(), 2, "what will not be read is not fetched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_takes_no_images_is_asked_without_them() {
    let app = installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0&fail=400&fail_times=1");
    let ts = app.post_with(ADA, &app.dm(ADA), "Look!", vec![file("cat.png", *b"\x89PNG cat")]);
    let reply = app.reply(&app.dm(ADA), &ts).await;
    assert!(reply.ends_with("_I could not read `cat.png`._"), "{reply}");
    assert_eq!(app.simulator.model_requests().len(), 2);
    let (text, images) = app.last_question();
    assert!(text.starts_with("Look!") && images.is_empty(), "{text} {images:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_organisation_is_asked_for_first() {
    let app = installed().await;
    app.simulator.add_team("T0BETA", "Beta");
    app.simulator.share_channel(TEAM, "general", "T0BETA").expect("two teams");
    app.operate(&["tenants", "open-channel", TEAM, "C0GENERAL"]);
    let files = vec![file("offer.txt", "ten herons")];
    let ts = app.post_with("U0ADABETA", "general", "@bot our offer", files);
    app.reply("general", &ts).await;
    let (text, _) = app.last_question();
    assert!(text.contains("ten herons"), "{text}");
    assert!(text.ends_with("</outside>"), "their files are theirs as their words are: {text}");
    assert_eq!(app.calls("files.info").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_scope_to_read_files_the_answer_says_what_was_not_read() {
    let app = TestApp::start().await;
    let begun = app.begin_install().await;
    let fewer = begun.authorize_url.replacen("files%3Aread", "", 1);
    let back = app.simulator.allow(&fewer).expect("Slack allows it");
    assert_eq!(app.come_back(&back, Some(&begun.cookie)).await.status(), 200);
    app.idle().await;
    let ts = app.post_with(ADA, &app.dm(ADA), "say: Well.", vec![file("notes.txt", "milk")]);
    let reply = app.reply(&app.dm(ADA), &ts).await;
    assert!(reply.starts_with("Well.") && reply.ends_with("_I could not read `notes.txt`._"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_goes_to_no_other_host() {
    let app = installed().await;
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("it does not wait");
    let foreign = format!("http://{}/files-pri/notes.txt", trap.local_addr().expect("an address"));
    let ts = app.post(ADA, "general", None, "look");
    let bot = app.simulator.installation(TEAM).expect("installed").bot_user_id;
    let files = ["url_private", "url_private_download"]
        .map(|key| json!({"id": key, "name": key, "mimetype": "text/plain", "size": 4, key: foreign}));
    app.simulator.deliver(TEAM, json!({
        "type": "app_mention", "channel": "C0GENERAL", "channel_type": "channel", "user": ADA, "team": TEAM,
        "text": format!("<@{bot}> say: No."), "ts": ts, "event_ts": ts, "files": files,
    }));
    let reply = app.reply("general", &ts).await;
    assert!(reply.ends_with("_I could not read `url_private`, `url_private_download`._"), "{reply}");
    assert!(trap.accept().is_err(), "nobody came");
}
