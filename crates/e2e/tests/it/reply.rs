//! From a message to the reply in its thread.

use simulator::InjectedFault;

use crate::test_app::{ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn dm_gets_streamed_thread_reply() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: Yes, **gladly**.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "Yes, **gladly**.");
    let reply = &app.bot_messages(&dm, &ts)[0];
    assert!(reply.is_stream && !reply.is_streaming, "{reply:?}");
    assert_eq!(reply.thread_ts.as_deref(), Some(ts.as_str()));
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None, "the status is cleared");
}

#[tokio::test(flavor = "multi_thread")]
async fn mention_with_two_events_gets_one_reply() {
    let app = TestApp::installed().await;
    let ts = app.post(ADA, "general", None, "@bot say: Once.");
    assert_eq!(app.wait_reply("general", &ts).await, "Once.");
    app.wait_idle().await;
    assert_eq!(app.database.query("select count(*) from events where kind = 'message'"), "1");
    assert_eq!(app.bot_messages("general", &ts).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn thread_continues_without_mention() {
    let app = TestApp::installed().await;
    let ts = app.post(ADA, "general", None, "@bot say: The word is heron.");
    app.wait_reply("general", &ts).await;
    app.post(GRACE, "general", Some(&ts), "and what was it?");
    app.wait_replies("general", &ts, 2).await;
    let asked = app.simulator.model_requests().pop().expect("a request");
    let texts: Vec<&str> = asked["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter_map(|message| message["content"].as_str())
        .collect();
    assert_eq!(texts[1..], ["say: The word is heron.", "The word is heron.", "and what was it?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unaddressed_messages_are_ignored() {
    let app = TestApp::installed().await;
    let ts = app.post(ADA, "general", None, "lunch?");
    app.post(GRACE, "general", Some(&ts), "yes");
    let asked = app.post(ADA, "general", None, "@bot say: Later.");
    app.wait_reply("general", &asked).await;
    assert!(app.bot_messages("general", &ts).is_empty());
    assert_eq!(app.simulator.model_requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn thread_messages_are_answered_in_order() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=5000&gap=0");
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: one");
    let asked = |world: &simulator::FakeSlack| (!world.model_requests().is_empty()).then_some(());
    app.simulator.wait_for(asked, TEST_TIMEOUT).await.expect("the first is in work");
    // Meanwhile the other messages arrive, in any order of Slack's requests.
    for word in ["two", "three", "four"] {
        app.send_dm(ADA, Some(&ts), &format!("say: {word}"));
    }
    app.simulator.set_model_options("ttft=0&gap=0");
    app.wait_for_query("select count(*) from events where kind = 'message'", "4").await;
    assert_eq!(app.simulator.model_requests().len(), 1, "the first is still in work");
    let replies = app.wait_replies(&dm, &ts, 4).await;
    let texts: Vec<String> = replies.iter().map(simulator::SlackMessage::visible_text).collect();
    assert_eq!(texts, ["one", "two", "three", "four"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_stream_falls_back_to_post_and_update() {
    let app = TestApp::installed().await;
    app.simulator.inject_fault("chat.startStream", InjectedFault::Error("feature_disabled"), 1);
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: All the same, and in one piece.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "All the same, and in one piece.");
    assert!(!app.bot_messages(&dm, &ts)[0].is_stream);
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn post_with_lost_response_is_not_repeated() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    app.simulator.inject_fault("chat.startStream", InjectedFault::ResponseLost, 1);
    let ts = app.send_dm(ADA, None, "say: Only once.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "Only once.");
    app.simulator.inject_fault("chat.startStream", InjectedFault::Error("feature_disabled"), 1);
    app.simulator.inject_fault("chat.postMessage", InjectedFault::ResponseLost, 1);
    let ts = app.send_dm(ADA, None, "say: And once more.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "And once more.");
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_stream_loses_nothing() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=10&gap=100");
    app.simulator.inject_fault(
        "chat.appendStream",
        InjectedFault::Error("message_not_in_streaming_state"),
        1,
    );
    let dm = app.dm(ADA);
    let text = "Word after word after word after word after word after word after word after word.";
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    assert_eq!(app.wait_reply(&dm, &ts).await, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_reply_is_split() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let dm = app.dm(ADA);
    let text: String = (0..1500).map(|line| format!("Line {line} of a long answer.\n")).collect();
    let ts = app.send_dm(ADA, None, &format!("say: {}", text.trim_end()));
    let replies = app.wait_replies(&dm, &ts, 4).await;
    let joined: String = replies.iter().map(simulator::SlackMessage::visible_text).collect();
    let differs = joined.bytes().zip(text.bytes()).take_while(|(shown, said)| shown == said).count();
    let near: Vec<&str> = replies.iter().map(|reply| reply.text.get(..60).unwrap_or(&reply.text)).collect();
    assert_eq!(differs, text.trim_end().len(), "of {} bytes: {near:?}", joined.len());
    assert!(replies.iter().all(|reply| reply.visible_text().len() <= slack::MAX_MARKDOWN_CHARS));
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_model_call_is_retried() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0&fail=503&fail_times=2");
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: At last.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "At last.");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_reply_continues_in_same_message() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=50&cut=4");
    let dm = app.dm(ADA);
    let text = "The first words stand there already when the model breaks off.";
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    app.simulator
        .wait_for(
            |world| {
                (!world.thread(TEAM, &dm, &ts).is_empty() && world.model_requests().len() >= 2).then_some(())
            },
            TEST_TIMEOUT,
        )
        .await
        .expect("a second try");
    app.simulator.set_model_options("ttft=0&gap=0");
    let begun = std::time::Instant::now();
    while app.bot_messages(&dm, &ts).first().is_none_or(|reply| reply.visible_text() != text) {
        assert!(begun.elapsed() < TEST_TIMEOUT, "{:?}\n{}", app.bot_messages(&dm, &ts), app.api_logs());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(app.wait_reply(&dm, &ts).await, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn model_refusal_gets_error_reply() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0&fail=400");
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "something awful");
    let reply = app.wait_reply(&dm, &ts).await;
    assert!(reply.starts_with("The model couldn't process this message."), "{reply}");
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
    let kept = app.database.query("select outcome, reason from events where kind = 'message'");
    assert!(kept.starts_with("set_aside|the model's server answered 400"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn model_mentions_are_escaped() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: &lt;!channel&gt; look");
    assert_eq!(app.wait_reply(&dm, &ts).await, "&lt;!channel> look");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_plaintext_in_database_or_logs() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: The secret word is heron.");
    app.wait_reply(&dm, &ts).await;
    let token = app.simulator.installation(TEAM).expect("installed").token;
    let dump = app.database.query(
        "select string_agg(t::text, '|') from (select body::text as t from events union all
         select encode(body, 'escape') from events union all select encode(text, 'escape') from chat_memory union all
         select encode(text, 'escape') from replies union all select encode(partial_text, 'escape') from replies
         union all select encode(bot_token, 'escape') from installations
         union all select detail::text from audit_log) as all_of_it",
    );
    let logs = format!("{}{}", app.api_logs(), app.web.log_lines().join("\n"));
    for (place, text) in [("the database", &dump), ("the log", &logs)] {
        assert!(!text.is_empty());
        assert!(!text.contains("heron") && !text.contains(&token), "found in {place}");
    }
    assert_eq!(app.database.query("select count(*) from chat_memory"), "2");
}
