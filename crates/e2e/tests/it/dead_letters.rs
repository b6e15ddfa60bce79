//! Dead-lettered events: how an operator sees, retries and discards them.

use crate::test_app::{ADA, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn dead_letter_is_shown_redacted_and_redriven() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    app.simulator.set_model_options("ttft=0&gap=0&fail=400");
    let ts = app.send_dm(ADA, None, "say: A heron.");
    app.wait_replies(&dm, &ts, 1).await;
    let event = app.find_event_id(&ts);
    let story = app.run_cli(&["events", "show", "T0ACME", &event]);
    for known in [
        "message",
        ADA,
        &dm,
        &ts,
        "attempt 1: the model's server answered 400",
        "set_aside at",
        "replied, last message",
    ] {
        assert!(story.contains(known), "no {known} in\n{story}");
    }
    assert!(!story.contains("heron"), "{story}");

    app.simulator.set_model_options("ttft=0&gap=0");
    let told = app.run_cli(&["events", "redrive", "T0ACME", "--event", &event]);
    assert!(told.contains("will be retried"), "{told}");
    app.wait_idle().await;
    assert_eq!(app.wait_reply(&dm, &ts).await, "A heron.", "in the message that said sorry");
    let story = app.run_cli(&["events", "show", "T0ACME", &event]);
    assert!(story.contains("answered at") && story.contains("attempt 1: the model's"), "{story}");
    let entry = "select actor, detail ->> 'event_id' from audit_log where action = 'redriven'";
    assert_eq!(app.database.query(entry), format!("operator|{event}"));

    let told = app.run_cli(&["events", "redrive", "T0ACME", "--event", &event]);
    assert!(told.contains("has not failed (it is answered); nothing was changed"), "{told}");
    for command in [["events", "show", "T0ACME", "Ev0"], ["events", "discard", "T0ACME", "Ev0"]] {
        assert!(app.run_cli(&command).starts_with("No such event of T0ACME"), "{command:?}");
    }
    let told = app.run_cli(&["events", "redrive", "T0NOBODY", "--all"]);
    assert_eq!(told.trim(), "T0NOBODY has no failed events.");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_redriven_or_discarded() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    app.simulator.set_model_options("ttft=0&gap=0&fail=400");
    let asked = ["say: One.", "say: Two.", "say: Never."].map(|text| app.send_dm(ADA, None, text));
    for ts in &asked {
        app.wait_replies(&dm, ts, 1).await;
    }
    app.simulator.set_model_options("ttft=0&gap=0");
    let never = app.find_event_id(&asked[2]);
    let told = app.run_cli(&["events", "discard", "T0ACME", &never]);
    assert!(told.contains("dropped for good"), "{told}");
    let kept = format!("select outcome, body is null from events where event_id = '{never}'");
    assert_eq!(app.database.query(&kept), "discarded|t");
    assert_eq!(app.database.query("select actor from audit_log where action = 'discarded'"), "operator");

    let told = app.run_cli(&["events", "redrive", "T0ACME", "--all"]);
    assert!(told.starts_with("2 event(s) of T0ACME will be retried"), "{told}");
    app.wait_idle().await;
    for (ts, text) in asked.iter().zip(["One.", "Two."]) {
        assert_eq!(app.wait_reply(&dm, ts).await, text);
    }
    assert!(app.wait_reply(&dm, &asked[2]).await.starts_with("The model couldn't process this message"));
}
