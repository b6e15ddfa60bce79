//! Calls that are never made: most apps may read a conversation only once a minute.

use xtask::cluster::free_port;

use crate::test_app::{ADA, GRACE, TEAM, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn steady_state_reads_no_history() {
    let mut app = TestApp::start_with(|settings| settings.is_marketplace_app = false, &[]).await;
    app.install().await;
    app.simulator.set_model_options("ttft=20&gap=0");
    let places = [
        (app.dm(ADA), ADA, "say: one"),
        (app.dm(GRACE), GRACE, "say: one"),
        ("general".into(), ADA, "@bot say: one"),
    ];
    let roots = places.each_ref().map(|(channel, user, text)| app.post(user, channel, None, text));
    for ((channel, ..), root) in places.iter().zip(&roots) {
        app.wait_replies(channel, root, 1).await;
    }
    // The next messages are answered by a replica that has not seen these threads, then by either of two.
    let mut first = app.apis.remove(0);
    first.stop().expect("it ends");
    app.add_api(free_port().expect("a port"), &[]);
    app.balance_events();
    for turn in 2..=4 {
        if turn == 4 {
            app.add_api(free_port().expect("a port"), &[]);
            app.balance_events();
        }
        for ((channel, user, _), root) in places.iter().zip(&roots) {
            app.post(user, channel, Some(root), &format!("say: turn {turn}"));
        }
        for ((channel, ..), root) in places.iter().zip(&roots) {
            app.wait_replies(channel, root, turn).await;
        }
    }
    app.simulator.open_app_tab(TEAM, ADA, "messages");
    app.simulator.open_app_tab(TEAM, ADA, "home");
    app.wait_delivered("app_home_opened", 2).await;
    app.wait_idle().await;
    for method in ["conversations.history", "conversations.replies"] {
        assert!(app.slack_calls(method).is_empty(), "{:?}", app.slack_calls(method));
    }
    for api in [&first, &app.apis[0]] {
        assert!(api.log_lines().iter().any(|line| line.contains("answered at try")), "{}", api.name);
    }
}
