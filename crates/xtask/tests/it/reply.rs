//! A message, to the reply in the thread.

use simulator::Fault;

use crate::test_app::{ADA, GRACE, PATIENCE, TEAM, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_is_answered_in_its_thread_as_a_stream() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: Yes, **gladly**.");
    assert_eq!(app.reply(&dm, &ts).await, "Yes, **gladly**.");
    let reply = &app.bots(&dm, &ts)[0];
    assert!(reply.streamed && !reply.streaming, "{reply:?}");
    assert_eq!(reply.thread_ts.as_deref(), Some(ts.as_str()));
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None, "the status is cleared");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mention_comes_as_two_events_and_gets_one_reply() {
    let app = TestApp::installed().await;
    let ts = app.post(ADA, "general", None, "@bot say: Once.");
    assert_eq!(app.reply("general", &ts).await, "Once.");
    app.idle().await;
    assert_eq!(app.database.ask("select count(*) from events where kind = 'message'"), "1");
    assert_eq!(app.bots("general", &ts).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_goes_on_without_a_mention_and_remembers_what_was_said() {
    let app = TestApp::installed().await;
    let ts = app.post(ADA, "general", None, "@bot say: The word is heron.");
    app.reply("general", &ts).await;
    app.post(GRACE, "general", Some(&ts), "and what was it?");
    app.replies("general", &ts, 2).await;
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
async fn what_is_not_meant_for_the_bot_is_left_alone() {
    let app = TestApp::installed().await;
    let ts = app.post(ADA, "general", None, "lunch?");
    app.post(GRACE, "general", Some(&ts), "yes");
    let asked = app.post(ADA, "general", None, "@bot say: Later.");
    app.reply("general", &asked).await;
    assert!(app.bots("general", &ts).is_empty());
    assert_eq!(app.simulator.model_requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_thread_are_answered_in_their_order() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=1000&gap=0");
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: one");
    let asked = |world: &simulator::World| (!world.model_requests().is_empty()).then_some(());
    app.simulator.wait_for(asked, PATIENCE).await.expect("the first is in work");
    // While it is, the others come, in whatever order Slack's requests arrive.
    for word in ["two", "three", "four"] {
        app.say(ADA, Some(&ts), &format!("say: {word}"));
    }
    let replies = app.replies(&dm, &ts, 4).await;
    let texts: Vec<String> = replies.iter().map(simulator::Message::shown).collect();
    assert_eq!(texts, ["one", "two", "three", "four"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_streams_are_refused_the_answer_is_posted_and_updated() {
    let app = TestApp::installed().await;
    app.simulator.fail("chat.startStream", Fault::Error("feature_disabled"), 1);
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: All the same, and in one piece.");
    assert_eq!(app.reply(&dm, &ts).await, "All the same, and in one piece.");
    assert!(!app.bots(&dm, &ts)[0].streamed);
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_whose_answer_was_lost_is_found_and_not_made_again() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    app.simulator.fail("chat.startStream", Fault::AfterEffect, 1);
    let ts = app.say(ADA, None, "say: Only once.");
    assert_eq!(app.reply(&dm, &ts).await, "Only once.");
    app.simulator.fail("chat.startStream", Fault::Error("feature_disabled"), 1);
    app.simulator.fail("chat.postMessage", Fault::AfterEffect, 1);
    let ts = app.say(ADA, None, "say: And once more.");
    assert_eq!(app.reply(&dm, &ts).await, "And once more.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_slack_ends_loses_nothing() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=10&gap=100");
    app.simulator.fail("chat.appendStream", Fault::Error("message_not_in_streaming_state"), 1);
    let dm = app.dm(ADA);
    let text = "Word after word after word after word after word after word after word after word.";
    let ts = app.say(ADA, None, &format!("say: {text}"));
    assert_eq!(app.reply(&dm, &ts).await, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_arrives_whole_in_several_messages() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    let dm = app.dm(ADA);
    let text: String = (0..1500).map(|line| format!("Line {line} of a long answer.\n")).collect();
    let ts = app.say(ADA, None, &format!("say: {}", text.trim_end()));
    let replies = app.replies(&dm, &ts, 4).await;
    let joined: String = replies.iter().map(simulator::Message::shown).collect();
    let differs = joined.bytes().zip(text.bytes()).take_while(|(shown, said)| shown == said).count();
    let near: Vec<&str> = replies.iter().map(|reply| reply.text.get(..60).unwrap_or(&reply.text)).collect();
    assert_eq!(differs, text.trim_end().len(), "of {} bytes: {near:?}", joined.len());
    assert!(replies.iter().all(|reply| reply.shown().len() <= slack::MARKDOWN_LIMIT));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_model_is_asked_again() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0&fail=503&fail_times=2");
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: At last.");
    assert_eq!(app.reply(&dm, &ts).await, "At last.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_off_is_gone_on_with_in_the_same_message() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=50&cut=4");
    let dm = app.dm(ADA);
    let text = "The first words stand there already when the model breaks off.";
    let ts = app.say(ADA, None, &format!("say: {text}"));
    app.simulator
        .wait_for(
            |world| {
                (!world.thread(TEAM, &dm, &ts).is_empty() && world.model_requests().len() >= 2).then_some(())
            },
            PATIENCE,
        )
        .await
        .expect("a second try");
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    let begun = std::time::Instant::now();
    while app.bots(&dm, &ts).first().is_none_or(|reply| reply.shown() != text) {
        assert!(begun.elapsed() < PATIENCE, "{:?}\n{}", app.bots(&dm, &ts), app.logs());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(app.reply(&dm, &ts).await, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_model_refuses_becomes_a_plain_sentence() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0&fail=400");
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "something awful");
    let reply = app.reply(&dm, &ts).await;
    assert!(reply.starts_with("Sorry, the model did not take this message."), "{reply}");
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
    let kept = app.database.ask("select outcome, reason from events where kind = 'message'");
    assert!(kept.starts_with("set_aside|the model's server answered 400"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mentions_and_links_of_the_model_are_inert() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: &lt;!channel&gt; look");
    assert_eq!(app.reply(&dm, &ts).await, "&lt;!channel> look");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_wrote_and_tokens_stand_nowhere_in_plain() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: The secret word is heron.");
    app.reply(&dm, &ts).await;
    let token = app.simulator.installation(TEAM).expect("installed").token;
    let dump = app.database.ask(
        "select string_agg(t::text, '|') from (select body::text as t from events union all
         select encode(body, 'escape') from events union all select encode(text, 'escape') from turns union all
         select encode(text, 'escape') from replies union all select encode(text_so_far, 'escape') from replies
         union all select encode(bot_token, 'escape') from installations
         union all select detail::text from audit_log) as all_of_it",
    );
    let logs = format!("{}{}", app.logs(), app.web.lines().join("\n"));
    for (place, text) in [("the database", &dump), ("the log", &logs)] {
        assert!(!text.is_empty());
        assert!(!text.contains("heron") && !text.contains(&token), "found in {place}");
    }
    assert_eq!(app.database.ask("select count(*) from turns"), "2");
}
