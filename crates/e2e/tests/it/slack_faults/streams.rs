//! Faults 21 and 22: streams that end, and their recipients.

use std::time::Duration;

use simulator::{NewFile, PostMessage, SlackMessage};

use crate::test_app::{ADA, BETA, BETA_GRACE, GRACE, TEAM, TestApp};

/// Returns this many numbered words.
fn numbered_words(count: usize) -> String {
    (1..=count).map(|word| format!("word-{word}")).collect::<Vec<_>>().join(" ")
}

/// Returns the complete words in the messages of a reply, without those that are cut in two.
fn shown_words(replies: &[SlackMessage]) -> String {
    let shown: Vec<String> = replies.iter().map(SlackMessage::visible_text).collect();
    shown.iter().flat_map(|shown| shown.split_whitespace()).collect::<Vec<_>>().join(" ")
}

/// Starts an app whose streams Slack ends after some seconds; the app starts a new message before or after
/// that.
async fn start_with_stream_lifetime(slack_seconds: u64, own_seconds: &str) -> TestApp {
    let app = TestApp::start_with(
        |settings| settings.stream_lifetime = Duration::from_secs(slack_seconds),
        &[("SLACK_STREAM_SECONDS", own_seconds)],
    )
    .await;
    app.install().await;
    app
}

/// Fault 21.
#[tokio::test(flavor = "multi_thread")]
async fn stream_rolls_over_before_slack_limit() {
    let app = start_with_stream_lifetime(5, "2").await;
    app.simulator.set_model_options("ttft=0&gap=50");
    let (dm, text) = (app.dm(ADA), numbered_words(80));
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    let replies = app.wait_replies(&dm, &ts, 2).await;
    assert_eq!(shown_words(&replies), text);
    assert!(replies.iter().all(|reply| !reply.is_edited && !reply.text.is_empty()), "{replies:?}");
    assert_eq!(app.refused_calls(), []);
}

/// Fault 21.
#[tokio::test(flavor = "multi_thread")]
async fn ended_stream_ends_by_update() {
    let app = start_with_stream_lifetime(1, "240").await;
    app.simulator.set_model_options("ttft=0&gap=50");
    let (dm, text) = (app.dm(ADA), numbered_words(60));
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    assert_eq!(app.wait_reply(&dm, &ts).await, text);
    assert!(
        app.refused_calls().iter().any(|(_, error)| error == "message_not_in_streaming_state"),
        "Slack ended it"
    );
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_stream_arrives_whole() {
    // A second stands for a minute: Slack ends streams after five, the bot rolls them over after four.
    let app = start_with_stream_lifetime(5, "4").await;
    app.simulator.set_model_options("ttft=0&gap=50");
    let (dm, text) = (app.dm(ADA), numbered_words(140));
    let begun = std::time::Instant::now();
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    let replies = app.wait_replies(&dm, &ts, 2).await;
    assert!(begun.elapsed() >= Duration::from_secs(7), "{:?}", begun.elapsed());
    assert_eq!(shown_words(&replies), text);
    assert_eq!(app.refused_calls(), []);
    let order: Vec<&str> = replies.iter().map(|reply| reply.ts.as_str()).collect();
    assert!(order.is_sorted(), "{order:?}");
}

/// Fault 22.
#[tokio::test(flavor = "multi_thread")]
async fn channel_stream_names_recipient_and_team() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.database.query(&format!(
        "insert into channels (tenant_id, channel_id, external_allowed) values ('{TEAM}', 'C0GENERAL', true)"
    ));
    // A message with a file arrives without its writer's team.
    let file = NewFile { name: "notes.txt".into(), content: "Notes.".into(), ..NewFile::default() };
    for (user, files, team) in [(ADA, vec![], TEAM), (GRACE, vec![file], TEAM), (BETA_GRACE, vec![], BETA)] {
        let message = app.new_message(user, "general", None, "@bot say: For you.");
        let ts = app.simulator.post(PostMessage { files, ..message }).expect("Slack takes it");
        app.wait_replies("general", &ts, 1).await;
        assert!(app.bot_messages("general", &ts)[0].is_stream, "{user}\n{}", app.api_logs());
        let start = app.slack_calls("chat.startStream").pop().expect("a stream");
        assert!(start.is_ok, "{start:?}");
        assert_eq!([&start.args["recipient_user_id"], &start.args["recipient_team_id"]], [user, team]);
    }
}
