//! One tenant's trouble stays its own: others that are looked up, stored or maintained with it go on.

use std::time::{Duration, Instant};

use crate::test_app::{ADA, BETA, BETA_ADA, GRACE, TEAM, TestApp};

/// Requests at once, so that they share batches.
const CONCURRENT_REQUESTS: usize = 40;

/// Makes a data key unreadable.
const BREAK_KEY_SQL: &str = "update encryption_keys set wrapped_key = 'broken' where tenant_id = 'T0BETA'";

const RENAME_OVERVIEW_SQL: &str =
    "alter function dashboard_overview(text, text[], float8, float8, integer) rename to real_overview";

/// Replaces the overview's query by one that does this for Beta before it answers.
fn spoil_overview_sql(statement: &str) -> String {
    format!(
        "create or replace function dashboard_overview(
             _tenant_id text, _people text[], _seconds float8, _step float8, _reasons integer)
         returns table (person text, overview json) language plpgsql as $$
         begin
             if _tenant_id = '{BETA}' then {statement}; end if;
             return query select * from real_overview(_tenant_id, _people, _seconds, _step, _reasons);
         end $$"
    )
}

impl TestApp {
    async fn start_with_beta() -> Self {
        let app = Self::start_with(|simulated| simulated.has_rate_limits = false, &[]).await;
        app.install().await;
        app.simulator.add_team(BETA, "Beta");
        app.install_in(BETA).await;
        app.simulator.set_model_options("ttft=0&gap=0");
        app
    }

    /// Requests the dashboard many times at once, for these people in turn. Returns each one's statuses.
    async fn open_dashboards<const N: usize>(&self, cookies: [&str; N]) -> [Vec<u16>; N] {
        let requests = (0..CONCURRENT_REQUESTS).map(|number| {
            // Different ranges are different overviews, so that not all share one result.
            let range = ["24h", "7d", "30d", "90d"][number / N % 4];
            let request = self.http.get(format!("{}/dashboard?range={range}", self.web.url()));
            tokio::spawn(request.header("cookie", cookies[number % N]).send())
        });
        let requests: Vec<_> = requests.collect();
        let mut statuses = [const { Vec::new() }; N];
        for (number, request) in requests.into_iter().enumerate() {
            let answer = request.await.expect("no panic").expect("web answers");
            statuses[number % N].push(answer.status().as_u16());
        }
        statuses
    }
}

fn all_are(statuses: &[u16], status: u16) -> bool {
    statuses.iter().all(|found| *found == status)
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_session_fails_alone() {
    let app = TestApp::start_with_beta().await;
    let (ada, grace) = (app.sign_in(ADA).await, app.sign_in(GRACE).await);
    app.database.query(&format!("update sessions set name = 'no ciphertext' where user_id = '{GRACE}'"));
    for _ in 0..3 {
        let [fine, broken] = app.open_dashboards([&ada, &grace]).await;
        assert!(all_are(&fine, 200), "{fine:?}");
        assert!(all_are(&broken, 303), "it is no session: {broken:?}");
    }
    let log = app.web.log_lines().join("\n");
    let told = log.lines().find(|line| line.contains("session unreadable")).expect("it is logged");
    assert!(told.contains(TEAM) && told.contains(GRACE) && told.contains("\"error\""), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_or_slow_overview_affects_no_other() {
    let app = TestApp::start_with_beta().await;
    let (ada, beta) = (app.sign_in(ADA).await, app.sign_in(BETA_ADA).await);
    app.database.query(RENAME_OVERVIEW_SQL);
    app.database.query(&spoil_overview_sql("raise exception 'broken'"));
    for _ in 0..3 {
        let [fine, broken] = app.open_dashboards([&ada, &beta]).await;
        assert!(all_are(&fine, 200), "{fine:?}");
        assert!(all_are(&broken, 503), "{broken:?}");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    app.database.query(&spoil_overview_sql("perform pg_sleep(30)"));
    let slow = app.open_dashboards([&beta]);
    let fast = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begun = Instant::now();
        let [fine] = app.open_dashboards([&ada]).await;
        assert!(all_are(&fine, 200), "{fine:?}");
        begun.elapsed()
    };
    let begun = Instant::now();
    let ([slow], elapsed) = tokio::join!(slow, fast);
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?} while another workspace's overview is slow");
    assert!(all_are(&slow, 503), "a slow one ends: {slow:?}");
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_broken_tenant_fail_alone() {
    let mut app = TestApp::start_with_beta().await;
    app.database.query(BREAK_KEY_SQL);
    // A new process has no key in its cache.
    app.apis.clear();
    app.add_api(app.settings.ports.api, &[]);
    for round in 0..5 {
        app.send_dm_in_team(BETA, BETA_ADA, &format!("say: Of Beta {round}."));
        for number in 0..4 {
            app.send_dm(ADA, None, &format!("say: Of Acme {round} {number}."));
        }
    }
    app.wait_for_query("select count(*) from events where kind = 'message' and outcome = 'answered'", "20")
        .await;
    let refused = app.simulator.deliveries().into_iter().filter(|delivery| delivery.status == Some(503));
    let ids: Vec<String> = refused.map(|delivery| format!("'{}'", delivery.event_id)).collect();
    assert!(!ids.is_empty(), "Beta's events are not acknowledged");
    let acme = format!("select count(*) from events where event_id in ({})", ids.join(","));
    assert_eq!(app.database.query(&acme), "0", "Acme's were acknowledged at the first attempt");
    assert!(app.api_logs().contains("the workspace's key cannot be opened"), "{}", app.api_logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_deletion_or_rotation_stops_no_other() {
    let mut app = TestApp::start_with_beta().await;
    // One workspace's deletion fails, the other's is done.
    app.database.query(
        "insert into tenants (tenant_id, name, delete_after)
         values ('T0STUCK', 'Stuck', now() - interval '2 days'), ('T0DUE', 'Due', now() - interval '1 day');
         create function refuse() returns trigger language plpgsql as $$ begin raise exception 'stuck'; end $$;
         create trigger refuse before delete on tenants for each row when (old.tenant_id = 'T0STUCK')
             execute function refuse()",
    );
    // A new process begins with its housekeeping.
    app.apis.clear();
    app.add_api(app.settings.ports.api, &[]);
    let begun = Instant::now();
    while app.database.query("select string_agg(tenant_id, ' ' order by 1) from tenants")
        != "T0ACME T0BETA T0STUCK"
    {
        assert!(begun.elapsed() < Duration::from_secs(90), "{}", app.api_logs());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(app.api_logs().contains("workspace data not deleted"), "{}", app.api_logs());

    // A key that cannot be opened is named, and the others are rotated.
    let key_of = |tenant: &str| {
        let sql =
            format!("select key_id from encryption_keys where tenant_id = '{tenant}' and retired_at is null");
        app.database.query(&sql)
    };
    let before = key_of(TEAM);
    app.database.query(
        "create trigger refuse_key before insert on encryption_keys for each row when (new.tenant_id = 'T0BETA')
             execute function refuse()",
    );
    let (code, told) =
        crate::cli::run_to_exit("web", &["keys", "rotate", "--all"], &app.settings.web_variables());
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("T0BETA") && told.contains("the others go on"), "{told}");
    assert_ne!(key_of(TEAM), before, "Acme's key is rotated");
}
