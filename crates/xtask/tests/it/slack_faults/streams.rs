//! Rows 21 and 22: streams that end, and whom they are for.

use std::time::Duration;

use simulator::{Message, NewFile, PostMessage};

use crate::test_app::{ADA, GRACE, TEAM, TestApp};

const OTHER: &str = "T0BETA";
const OTHER_GRACE: &str = "U0GRACEBETA";

/// So many numbered words.
fn words(count: usize) -> String {
    (1..=count).map(|word| format!("word-{word}")).collect::<Vec<_>>().join(" ")
}

/// The words that stand in the messages of an answer; a word that is cut in two is none.
fn words_of(replies: &[Message]) -> String {
    let shown: Vec<String> = replies.iter().map(Message::shown).collect();
    shown.iter().flat_map(|shown| shown.split_whitespace()).collect::<Vec<_>>().join(" ")
}

/// An app whose streams Slack ends after some seconds, and which goes on in a new message before or after that.
async fn with_streams_of(slack_seconds: u64, own_seconds: &str) -> TestApp {
    let app = TestApp::start_with(
        |settings| settings.stream_lifetime = Duration::from_secs(slack_seconds),
        &[("SLACK_STREAM_SECONDS", own_seconds)],
    )
    .await;
    app.install().await;
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_21_a_stream_is_rolled_over_before_slack_ends_it() {
    let app = with_streams_of(5, "2").await;
    app.simulator.set_model_behaviour("ttft=0&gap=50");
    let (dm, text) = (app.dm(ADA), words(80));
    let ts = app.say(ADA, None, &format!("say: {text}"));
    let replies = app.replies(&dm, &ts, 2).await;
    assert_eq!(words_of(&replies), text);
    assert!(replies.iter().all(|reply| !reply.edited && !reply.text.is_empty()), "{replies:?}");
    assert_eq!(app.refused(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_21_the_rest_of_a_stream_that_slack_ended_is_brought_by_an_update() {
    let app = with_streams_of(1, "240").await;
    app.simulator.set_model_behaviour("ttft=0&gap=50");
    let (dm, text) = (app.dm(ADA), words(60));
    let ts = app.say(ADA, None, &format!("say: {text}"));
    assert_eq!(app.reply(&dm, &ts).await, text);
    assert!(
        app.refused().iter().any(|(_, error)| error == "message_not_in_streaming_state"),
        "Slack ended it"
    );
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_stream_of_seven_simulated_minutes_arrives_whole() {
    // A second is a minute: Slack ends streams after five, the bot rolls them over after four.
    let app = with_streams_of(5, "4").await;
    app.simulator.set_model_behaviour("ttft=0&gap=50");
    let (dm, text) = (app.dm(ADA), words(140));
    let begun = std::time::Instant::now();
    let ts = app.say(ADA, None, &format!("say: {text}"));
    let replies = app.replies(&dm, &ts, 2).await;
    assert!(begun.elapsed() >= Duration::from_secs(7), "{:?}", begun.elapsed());
    assert_eq!(words_of(&replies), text);
    assert_eq!(app.refused(), []);
    let order: Vec<&str> = replies.iter().map(|reply| reply.ts.as_str()).collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_22_a_stream_outside_dms_names_whom_it_is_for_and_their_own_team() {
    let app = TestApp::installed().await;
    app.simulator.add_team(OTHER, "Beta");
    app.database.ask(&format!(
        "insert into channels (tenant_id, channel_id, external_allowed) values ('{TEAM}', 'C0GENERAL', true)"
    ));
    // A message with a file comes without its writer's team.
    let file = NewFile { name: "notes.txt".into(), content: "Notes.".into(), ..NewFile::default() };
    for (user, files, team) in [(ADA, vec![], TEAM), (GRACE, vec![file], TEAM), (OTHER_GRACE, vec![], OTHER)]
    {
        let message = app.message(user, "general", None, "@bot say: For you.");
        let ts = app.simulator.post(PostMessage { files, ..message }).expect("Slack takes it");
        app.replies("general", &ts, 1).await;
        assert!(app.bots("general", &ts)[0].streamed, "{user}\n{}", app.logs());
        let start = app.calls_of("chat.startStream").pop().expect("a stream");
        assert!(start.ok, "{start:?}");
        assert_eq!([&start.args["recipient_user_id"], &start.args["recipient_team_id"]], [user, team]);
    }
}
