//! The history of events that have left the queue: still shown, deleted with the workspace, and dropped day
//! by day.

use crate::fixtures::TestDatabase;
use crate::test_app::{ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

const COUNT_PARTITIONS_SQL: &str =
    "select count(*) from pg_inherits where inhparent = 'event_history'::regclass";

/// Returns the name of the partition of this many days ago.
fn partition_name(database: &TestDatabase, days: u32) -> String {
    let day = format!("(now() at time zone 'UTC' - interval '{days} days')");
    database.query(&format!("select 'event_history_' || to_char({day}, 'YYYYMMDD')"))
}

impl TestApp {
    /// Restarts `api`, whose first housekeeping round is due at once, and waits until that round is complete.
    async fn run_housekeeping(&mut self) {
        self.apis.clear();
        self.database.query(
            "insert into threads (tenant_id, channel_id, thread_ts, state, virtual_start, used_at)
             values ('T0ACME', 'C0OLD', '1.000001', 'idle', 0, now() - interval '1 year')",
        );
        self.add_api(self.settings.ports.api, &[]);
        self.wait_for_query("select count(*) from threads where channel_id = 'C0OLD'", "0").await;
    }

    fn count_queue_and_history(&self) -> String {
        self.database.query("select (select count(*) from events), (select count(*) from event_history)")
    }

    async fn page_text(&self, path: &str, cookie: &str) -> String {
        let answer = self.get_page(path, Some(cookie)).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.expect("text")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_events_move_to_history() {
    let mut app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let asked = app.send_dm(ADA, None, "say: Long ago.");
    app.wait_reply(&app.dm(ADA), &asked).await;
    app.simulator.open_app_tab(TEAM, ADA, "home");
    app.wait_for_query("select count(*) from events where kind = 'home_opened' and outcome is not null", "1")
        .await;
    app.simulator.set_model_options("fail=400&fail_times=1");
    let failed = app.send_dm(GRACE, None, "say: It fails once.");
    let outcome = format!("select outcome from events where message_ts = '{failed}'");
    app.wait_for_query(&outcome, "set_aside").await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let recent = app.send_dm(ADA, None, "say: Of late.");
    app.wait_reply(&app.dm(ADA), &recent).await;
    let id = |ts: &str| app.database.query(&format!("select event_id from events where message_ts = '{ts}'"));
    let (asked_id, failed_id) = (id(&asked), id(&failed));
    let reply_ts = app.database.query(&format!(
        "select replies.message_ts from replies join events using (seq) where event_id = '{asked_id}'"
    ));
    app.database.query(&format!(
        "update events set received_at = now() - interval '3 days', finished_at = now() - interval '3 days'
             where message_ts is distinct from '{recent}';
         update usage set asked_at = now() - interval '3 days'"
    ));

    app.run_housekeeping().await;
    let kept = "select string_agg(message_ts, ' ' order by message_ts) from events";
    let mut stay = [failed.as_str(), &recent];
    stay.sort_unstable();
    assert_eq!(app.database.query(kept), stay.join(" "), "{}", app.count_queue_and_history());
    assert_eq!(app.database.query("select count(*) from replies join event_history using (seq)"), "0");
    let in_its_part = format!("select count(*) > 1 from {}", partition_name(&app.database, 3));
    assert_eq!(app.database.query(&in_its_part), "t");

    let cookie = app.sign_in(ADA).await;
    let list = app.page_text("/dashboard/events", &cookie).await;
    assert!([&asked_id, &failed_id].iter().all(|id| list.contains(id.as_str())), "{list}");
    let story = app.page_text(&format!("/dashboard/events/{asked_id}"), &cookie).await;
    assert!(story.contains("answered") && story.contains(&asked_id), "{story}");
    assert!(app.run_cli(&["events", "show", TEAM, &asked_id]).contains(&reply_ts));
    // A dead letter stays in the queue and can be retried.
    app.send_form(&format!("/dashboard/events/{failed_id}/redrive"), Some(&cookie), &[]).await;
    app.wait_for_query(&outcome, "answered").await;
    let whose = format!("select user_id from event_history where event_id = '{asked_id}'");
    assert_eq!(app.database.query(&whose), ADA);
    app.send_form("/dashboard/people/me/forget", Some(&cookie), &[]).await;
    assert_eq!(app.database.query(&whose), "forgotten");

    app.simulator.uninstall(TEAM);
    app.wait_for_query("select count(*) from tenants", "0").await;
    assert_eq!(app.count_queue_and_history(), "0|0");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_partitions_rotate_without_blocking() {
    let mut app = TestApp::start().await;
    assert_eq!(app.database.query(COUNT_PARTITIONS_SQL), "4", "today, two days ahead, and the rest");
    let event = |seq: u32, days: u32| {
        app.database.query(&format!(
            "insert into event_history (seq, tenant_id, event_id, kind, channel_id, thread_ts, user_id, attempts,
                                        attempts_log, outcome, received_at, finished_at)
             values ({seq}, 'T{seq}', 'Ev', 'message', 'C', '', 'U', 1, '[]', 'answered',
                     now() - interval '{days} days', now())"
        ))
    };
    // Events without a partition are kept, and found once their partition is created.
    event(1, 5);
    assert_eq!(app.database.query("select count(*) from event_history_default"), "1");
    let made =
        app.database.query("select * from maintain_event_history_partitions(90, now() - interval '60 days')");
    assert_eq!(made, "60|0");
    event(2, 60);
    let in_parts = |first: u32, second: u32| {
        let (first, second) = (partition_name(&app.database, first), partition_name(&app.database, second));
        format!("select (select count(*) from {first}), (select count(*) from {second})")
    };
    assert_eq!(app.database.query(&in_parts(5, 60)), "1|1");
    assert_eq!(
        app.database.query("select * from maintain_event_history_partitions(90, now() - interval '60 days')"),
        "0|0"
    );

    // Housekeeping does not wait for a long read of an old partition.
    let reading =
        format!("begin; select count(*) from {}; select pg_sleep(20)", partition_name(&app.database, 60));
    let url = app.database.url.clone();
    let reader = tokio::task::spawn_blocking(move || {
        std::panic::catch_unwind(|| crate::fixtures::psql(&url, &reading)).is_err()
    });
    let sleeping = "from pg_stat_activity where query like '%pg_sleep(20)' and pid <> pg_backend_pid()
                    and wait_event = 'PgSleep'";
    app.wait_for_query(&format!("select count(*) {sleeping}"), "1").await;
    let begun = std::time::Instant::now();
    app.database.query(
        "do $$ begin
             perform maintain_event_history_partitions(30, null);
             raise 'it was dropped';
         exception when lock_not_available then null; end $$",
    );
    assert!(begun.elapsed() < TEST_TIMEOUT / 2, "{:?}", begun.elapsed());
    app.database.query(&format!("select pg_terminate_backend(pid) {sleeping}"));
    assert!(reader.await.expect("it ends"), "it read until now");

    app.run_housekeeping().await;
    app.wait_for_query(COUNT_PARTITIONS_SQL, "34").await;
    assert_eq!(app.database.query("select seq from event_history"), "1", "60 days are too old");

    // The previous release deletes a workspace without knowing the history table.
    app.database.query("insert into tenants (tenant_id, name) values ('T1', 'One'); delete from tenants");
    assert_eq!(app.database.query("select count(*) from event_history"), "0");
}
