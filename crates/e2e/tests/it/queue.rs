//! The queue between acknowledgement and reply: order, shares, limits, retention.

use std::time::{Duration, Instant};

use xtask::cluster::free_port;
use xtask::settings::SIGNING_SECRET;

use crate::test_app::{ACK_TIMEOUT, ADA, BETA, BETA_ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

impl TestApp {
    /// Starts an app for two workspaces, with a replica that only receives.
    async fn start_receive_only_for_two_teams() -> Self {
        let mut app = Self::start_with(|settings| settings.has_rate_limits = false, &[]).await;
        app.simulator.add_team(BETA, "Beta");
        app.install().await;
        app.install_in(BETA).await;
        app.simulator.set_model_options("ttft=0&gap=0");
        app.apis.clear();
        app.add_api(app.settings.ports.api, &[("MAX_CONCURRENT_REPLIES", "0")]);
        app
    }

    /// Sends a message in the DM of a user of any team.
    pub(crate) fn send_dm_in_team(&self, team: &str, user: &str, text: &str) -> String {
        let channel = self.simulator.dm(team, user).expect("a person of the team");
        let message = self.new_message(user, &channel, None, text);
        self.simulator.post(simulator::PostMessage { team: team.into(), ..message }).expect("Slack takes it")
    }

    /// Waits until this many messages are queued.
    async fn wait_backlog(&self, count: usize) {
        let begun = Instant::now();
        while self.count_pending() != count.to_string() {
            assert!(begun.elapsed() < 3 * TEST_TIMEOUT, "{} wait, not {count}", self.count_pending());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Discards queued messages, so that the check at the end of the test finds none.
    pub(crate) fn discard_backlog(&mut self) {
        self.apis.clear();
        self.database.query("delete from events where outcome is null");
    }
}

/// Weight 4 gets four of five slots. A replica with `MAX_CONCURRENT_REPLIES=0` answers nothing.
#[tokio::test(flavor = "multi_thread")]
async fn tenant_weight_sets_fair_share() {
    const EVENTS_PER_TENANT: usize = 60;
    const SAMPLE_SIZE: usize = 50;
    let mut app = TestApp::start_receive_only_for_two_teams().await;
    let told = app.run_cli(&["tenants", "weight", BETA, "4"]);
    assert!(told.contains("T0BETA has weight 4"), "{told}");
    assert!(app.run_cli(&["tenants", "weight", "T0NOBODY", "4"]).contains("no tenant T0NOBODY"));
    assert_eq!(app.database.query("select detail ->> 'weight' from audit_log where actor = 'operator'"), "4");
    for number in 0..EVENTS_PER_TENANT {
        app.send_dm_in_team(TEAM, ADA, &format!("say: {number}"));
        app.send_dm_in_team(BETA, BETA_ADA, &format!("say: {number}"));
    }
    app.wait_backlog(2 * EVENTS_PER_TENANT).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = "select count(*) from events where outcome is null and attempts > 0";
    assert_eq!(app.database.query(begun), "0", "a replica with MAX_CONCURRENT_REPLIES=0 only receives");
    assert!(app.simulator.model_requests().is_empty());

    app.add_api(free_port().expect("a port"), &[("MAX_CONCURRENT_REPLIES", "1")]);
    let done = "select count(*) from events where kind = 'message' and outcome is not null";
    let begun = Instant::now();
    while app.database.query(done).parse::<usize>().expect("a number") < SAMPLE_SIZE {
        assert!(begun.elapsed() < TEST_TIMEOUT, "no reply\n{}", app.api_logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let share = app.database.query(&format!(
        "select count(*) filter (where tenant_id = '{BETA}') from (select tenant_id from events
         where kind = 'message' order by finished_at limit {SAMPLE_SIZE}) as first"
    ));
    let share: usize = share.parse().expect("a number");
    assert!((38..=42).contains(&share), "{share} of the first {SAMPLE_SIZE}, not about 40");
    app.discard_backlog();
}

/// A thousand events of one tenant wait.
#[tokio::test(flavor = "multi_thread")]
async fn backlog_does_not_delay_other_tenant() {
    const BACKLOG_SIZE: usize = 1000;
    let mut app = TestApp::start_receive_only_for_two_teams().await;
    for _ in 0..BACKLOG_SIZE {
        app.send_dm_in_team(TEAM, ADA, "say: One of many.");
    }
    app.wait_backlog(BACKLOG_SIZE).await;
    app.simulator.set_model_options("ttft=300&gap=0");
    app.add_api(free_port().expect("a port"), &[("MAX_CONCURRENT_REPLIES", "8")]);
    let answering = |world: &simulator::FakeSlack| {
        (world.calls().iter().filter(|call| call.method == "chat.startStream").count() > 8).then_some(())
    };
    app.simulator.wait_for(answering, TEST_TIMEOUT).await.expect("the backlog is being worked off");
    let ts = app.send_dm_in_team(BETA, BETA_ADA, "say: Hello.");
    let outcome = format!("select outcome from events where message_ts = '{ts}'");
    app.wait_for_query(&outcome, "answered").await;
    let left: usize = app.count_pending().parse().expect("a number");
    assert!(left > BACKLOG_SIZE / 2, "the backlog was still there: {left}");
    // Counted instead of timed, so that the machine's load does not matter: at full speed this many replies
    // of the backlog end within 1.3 seconds, of which the reply itself takes 0.3.
    const MAX_REPLIES_BEFORE: usize = 36;
    let before = app.database.query(&format!(
        "select count(*) from events, (select received_at as came, finished_at as ended from events
                                       where message_ts = '{ts}') as other
         where tenant_id = '{TEAM}' and kind = 'message' and finished_at between came and ended"
    ));
    let before: usize = before.parse().expect("a number");
    assert!(before <= MAX_REPLIES_BEFORE, "{before} replies of the backlog came first");
    app.discard_backlog();
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_commit_gives_503_within_two_seconds() {
    let app = TestApp::installed().await;
    let url = app.database.url.clone();
    let lock = "do $$ begin
        lock table events in access exclusive mode;
        if to_regclass('event_inbox') is not null then
            execute 'lock table event_inbox in access exclusive mode';
        end if;
        perform pg_sleep(6); end $$";
    let stalled = std::thread::spawn(move || crate::fixtures::psql(&url, lock));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let event = serde_json::json!({
        "type": "event_callback", "event_id": "Ev1", "team_id": TEAM,
        "authorizations": [{"enterprise_id": null, "team_id": TEAM, "user_id": "U0BOT", "is_bot": true,
                            "is_enterprise_install": false}],
        "event": {"type": "message", "channel_type": "im", "channel": app.dm(ADA), "user": ADA, "text": "hi",
                  "ts": "1700000000.000100", "event_ts": "1700000000.000100"},
    });
    let body = event.to_string();
    for _ in 0..2 {
        let begun = Instant::now();
        let (status, _) = app.post_signed("/slack/events", &body, SIGNING_SECRET, 0).await;
        assert_eq!(status, 503);
        assert!(begun.elapsed() < ACK_TIMEOUT, "{:?}", begun.elapsed());
    }
    tokio::task::spawn_blocking(move || stalled.join().expect("it is let go")).await.expect("it ends");
    assert_eq!(app.post_signed("/slack/events", &body, SIGNING_SECRET, 0).await.0, 200);
    app.wait_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_purge_keeps_chat_memory() {
    let mut app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let old = app.send_dm(ADA, None, "say: Long ago.");
    app.wait_reply(&dm, &old).await;
    app.simulator.open_app_tab(TEAM, ADA, "home");
    app.wait_for_query("select count(*) from events where kind = 'home_opened' and outcome is not null", "1")
        .await;
    app.apis.clear();
    app.database.query(
        "update events set received_at = now() - interval '8 days';
         update threads set used_at = now() - interval '8 days';
         insert into events (tenant_id, event_id, kind, channel_id, thread_ts, user_id, received_at)
         values ('T0ACME', 'Ev0WAITS', 'message', 'C0', '', 'U0', now() - interval '9 days')",
    );
    app.add_api(app.settings.ports.api, &[("EVENT_RETENTION_DAYS", "7")]);
    app.wait_for_query("select count(*) from events where outcome is not null", "0").await;
    assert_eq!(app.database.query("select event_id from events"), "Ev0WAITS", "it is still to be done");
    assert_eq!(app.database.query("select count(*) from replies"), "0");
    app.wait_for_query("select string_agg(thread_ts, ',') from threads", &old).await;
    app.database.query("delete from events");
    // A thread with earlier messages continues where it was.
    app.send_dm(ADA, Some(&old), "say: And today.");
    app.wait_replies(&dm, &old, 2).await;
    assert_eq!(app.database.query("select count(*) from chat_memory"), "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_tenant_leaves_slots_free() {
    let mut app = TestApp::start_receive_only_for_two_teams().await;
    app.simulator.set_model_options("ttft=8000&gap=0");
    for _ in 0..40 {
        app.send_dm_in_team(TEAM, ADA, "say: Slowly.");
    }
    app.wait_backlog(40).await;
    app.add_api(free_port().expect("a port"), &[("MAX_CONCURRENT_REPLIES", "16")]);
    app.wait_for_query("select count(*) from threads where state = 'leased'", "14").await;
    let ts = app.send_dm_in_team(BETA, BETA_ADA, "say: Hello.");
    app.wait_for_query(
        &format!("select count(*) from events where message_ts = '{ts}' and attempts > 0"),
        "1",
    )
    .await;
    let ended = format!(
        "select count(*) from events where tenant_id = '{TEAM}' and kind = 'message' and outcome is not null"
    );
    assert_eq!(app.database.query(&ended), "0", "it did not wait for the end of a slow reply");
    app.simulator.set_model_options("ttft=0&gap=0");
    app.wait_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delay_notice_is_sent_once() {
    let app = TestApp::start_with(|_| {}, &[("MAX_CONCURRENT_REPLIES", "1")]).await;
    app.install().await;
    app.simulator.set_model_options("ttft=16000&gap=0");
    let first = app.send_dm(ADA, None, "say: First.");
    app.wait_for_query(
        &format!("select count(*) from events where message_ts = '{first}' and attempts > 0"),
        "1",
    )
    .await;
    let [second, third] = ["Second.", "Third."].map(|text| app.send_dm(GRACE, None, &format!("say: {text}")));
    app.wait_for_query("select count(*) from events where delay_notified_at is not null", "2").await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let (ada, grace) = (app.dm(ADA), app.dm(GRACE));
    assert_eq!(app.wait_reply(&ada, &first).await, "First.");
    assert_eq!(app.wait_reply(&grace, &second).await, "Second.");
    assert_eq!(app.wait_reply(&grace, &third).await, "Third.");
    assert!(app.simulator.ephemerals(TEAM, &ada).is_empty(), "her answer was being made");
    let told = app.simulator.ephemerals(TEAM, &grace);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].1.text.starts_with("I have more questions than usual"), "{told:?}");
}
