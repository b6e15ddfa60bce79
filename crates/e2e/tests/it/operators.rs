//! Operators: access, pages, and suspending a workspace.

use simulator::SimulatedUser;
use xtask::cluster::free_port;

use crate::chromium::Chromium;
use crate::fixtures::TestDatabase;
use crate::test_app::{ADA, BETA, BETA_ADA, BETA_GRACE, GRACE, TEAM, TestApp};

const NON_OPERATOR: &str = "U0LINUS";

/// The operator, as `OPERATORS` names her.
const ADA_AT_ACME: &str = "T0ACME/U0ADA";

/// Every page and every action.
const OPERATOR_PAGES: [&str; 4] =
    ["/operators", "/operators/tenants/T0ACME", "/operators/queue", "/operators/system"];
const OPERATOR_ACTIONS: [&str; 5] = [
    "/operators/tenants/T0ACME/suspend",
    "/operators/tenants/T0ACME/resume",
    "/operators/tenants/T0ACME/weight",
    "/operators/tenants/T0ACME/events/Ev1/redrive",
    "/operators/tenants/T0ACME/events/Ev1/discard",
];

impl TestApp {
    /// Starts an installed app with these operators.
    pub(crate) async fn start_with_operators(operators: &str) -> Self {
        let name =
            |settings: &mut xtask::settings::StackSettings| settings.operators = Some(operators.to_owned());
        let app = Self::start_on_database(TestDatabase::create(), name, |_| {}, &[]).await;
        app.install().await;
        app.simulator.set_model_options("ttft=0&gap=0");
        app
    }

    /// Sends a form as a page of the same site does. Returns status and redirect target.
    async fn submit_form(&self, path: &str, cookie: &str, form: &[(&str, &str)]) -> (u16, String) {
        let answer = self.send_form(path, Some(cookie), form).await;
        let location = answer.headers().get("location").and_then(|to| to.to_str().ok());
        (answer.status().as_u16(), location.unwrap_or_default().to_owned())
    }

    async fn wait_outcome(&self, message_ts: &str, fate: &str) {
        let sql = format!("select outcome, reason from events where message_ts = '{message_ts}'");
        self.wait_for_query(&sql, fate).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_pages_require_id_or_verified_email() {
    let mut app = TestApp::start_with_operators("T0ACME/U0ADA, T0ACME/Grace@Example.com").await;
    let eve = SimulatedUser {
        id: "U0EVE".into(),
        name: "Grace".into(),
        is_unconfirmed: true,
        ..SimulatedUser::default()
    };
    app.simulator.add_person(TEAM, eve);
    // Another workspace's identity provider can assert any address, and her namesake has hers.
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    for operator in [ADA, GRACE] {
        let cookie = app.sign_in(operator).await;
        for path in OPERATOR_PAGES {
            let (status, page) = app.get_page_text(path, &cookie).await;
            assert_eq!(status, 200, "{operator} {path}");
            assert!(page.contains(">Operators</a>"), "{page}");
        }
    }
    for other in [NON_OPERATOR, "U0EVE", BETA_GRACE] {
        let cookie = app.sign_in(other).await;
        let (_, dashboard) = app.get_page_text("/dashboard", &cookie).await;
        assert!(!dashboard.contains("perators"), "{dashboard}");
        for path in OPERATOR_PAGES {
            assert_eq!(app.get_page_text(path, &cookie).await.0, 404, "{other} {path}");
        }
        for path in OPERATOR_ACTIONS {
            let form = [("reason", "because"), ("weight", "2")];
            assert_eq!(app.submit_form(path, &cookie, &form).await.0, 404, "{other} {path}");
        }
    }
    assert_eq!(
        app.database
            .query("select count(*) from sessions where user_id = 'U0GRACEBETA' and email is not null"),
        "1",
        "the namesake's address is verified"
    );
    let sealed = app.database.query("select bool_and(position('example' in encode(email, 'escape')) = 0) from sessions where email is not null");
    assert_eq!(sealed, "t", "an e-mail is sealed");
    assert_eq!(
        app.database.query("select count(*) from sessions where email is null"),
        "1",
        "Eve's is not verified"
    );
    let without = app.get_page("/operators/queue", None).await;
    assert_eq!(without.headers()["location"], "/login?next=%2Foperators%2Fqueue");

    let ada = app.sign_in(ADA).await;
    let path = "/operators/tenants/T0ACME/suspend";
    assert_eq!(app.post_form(path, &ada, "cross-site").await, 403, "another site asks");
    // A person who leaves the workspace stops being an operator as soon as Slack is asked again.
    let grace = app.sign_in(GRACE).await;
    app.simulator.deactivate(TEAM, GRACE);
    app.database.query("update sessions set checked_at = now() - interval '11 minutes'");
    assert_eq!(app.get_page_text("/operators", &grace).await.0, 303);
    assert_eq!(app.get_page_text("/operators", &ada).await.0, 200);
    // Without operators the pages do not exist for anyone.
    app.settings.operators = None;
    let port = free_port().expect("a port");
    let plain = app.add_web(port);
    for cookie in ["", &ada] {
        let request = app.http.get(format!("{}/operators", plain.url())).header("cookie", cookie);
        assert_eq!(request.send().await.expect("an answer").status(), 404);
    }
}

#[test]
fn invalid_operators_prevent_start() {
    let variables = [("OPERATORS", "T0ACME/U0ADA, ada@example.com"), ("KEY_ROTATION_INTERVAL", "soon")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let (code, told) = crate::cli::run_to_exit("web", &[], &variables);
    assert_eq!(code, Some(1));
    let expected = "OPERATORS has an entry (2) that is not a workspace or organisation, a slash, and a Slack user id or an email; for example OPERATORS=T012AB3CD/U012AB3CD,T012AB3CD/ada@example.com";
    assert!(told.lines().any(|line| line == expected), "{told}");
    assert!(
        told.contains("KEY_ROTATION_INTERVAL is not a positive number of hours, days or weeks"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_workspace_is_refused_until_resumed() {
    let app = TestApp::start_with_operators(ADA_AT_ACME).await;
    let (ada, linus) = (app.sign_in(ADA).await, app.sign_in(NON_OPERATOR).await);
    let path = "/operators/tenants/T0ACME";
    assert_eq!(app.submit_form(&format!("{path}/suspend"), &ada, &[("reason", " ")]).await.0, 400);
    let reason = [("reason", "Unpaid since <March>")];
    assert_eq!(app.submit_form(&format!("{path}/suspend"), &ada, &reason).await, (303, path.to_owned()));
    assert_eq!(app.submit_form(&format!("{path}/suspend"), &ada, &reason).await.0, 303, "it is so already");

    let fate = "suspended|an operator suspended the workspace";
    let asked = app.post(GRACE, "general", None, "@bot say: Yes.");
    app.wait_outcome(&asked, fate).await;
    let again = app.post(GRACE, "general", Some(&asked), "@bot say: Please.");
    app.wait_outcome(&again, fate).await;
    assert!(app.simulator.model_requests().is_empty());
    let told = app.simulator.ephemerals(TEAM, "general");
    assert!(told.len() == 1 && told[0].0 == GRACE, "once a thread: {told:?}");
    assert!(told[0].1.text.contains("has suspended it"), "{told:?}");
    for (cookie, page) in [(&linus, "/dashboard"), (&linus, "/dashboard/events"), (&ada, "/dashboard/health")]
    {
        let (status, shown) = app.get_page_text(page, cookie).await;
        assert!(status == 200 && shown.contains("Unpaid since &#60;March&#62;"), "{page}: {shown}");
    }
    let (_, shown) = app.get_page_text(path, &ada).await;
    assert!(
        shown.contains("data-testid=\"resume\"") && !shown.contains("data-testid=\"suspend\""),
        "{shown}"
    );
    let (_, status) = app.get_page_text("/operators?search=acme", &ada).await;
    assert!(status.contains(">Suspended<"), "{status}");

    app.simulator.open_app_tab(TEAM, ADA, "home");
    app.wait_for_query("select count(*) from events where kind = 'home_opened' and outcome = 'done'", "1")
        .await;
    assert!(app.slack_calls("views.publish")[0].args.to_string().contains("has suspended this workspace"));

    assert_eq!(app.submit_form(&format!("{path}/resume"), &ada, &[]).await.0, 303);
    let asked = app.post(GRACE, "general", Some(&asked), "@bot say: Back.");
    app.wait_for_query(&format!("select outcome from events where message_ts = '{asked}'"), "answered").await;
    assert_eq!(app.submit_form(&format!("{path}/weight"), &ada, &[("weight", "101")]).await.0, 400);
    assert_eq!(app.submit_form(&format!("{path}/weight"), &ada, &[("weight", "7")]).await.0, 303);
    assert_eq!(app.database.query("select weight from tenants"), "7");
    let written =
        "select string_agg(action, ' ' order by chain_index) from audit_log where actor = 'operator:U0ADA'";
    assert_eq!(app.database.query(written), "suspended resumed weight_set");

    // A failed event that waits for a retry ends when the workspace is suspended.
    app.simulator.set_model_options("fail=500");
    let failing = app.send_dm(GRACE, None, "say: It fails.");
    app.wait_for_query(&format!("select attempts > 0 from events where message_ts = '{failing}'"), "t").await;
    app.run_cli(&["tenants", "suspend", TEAM, "while it fails"]);
    app.wait_outcome(&failing, fate).await;
    app.run_cli(&["tenants", "resume", TEAM]);

    // The command suspends too, and a suspended workspace can still uninstall.
    let suspend = app.run_cli(&["tenants", "suspend", TEAM, "by the command"]);
    assert!(suspend.contains("is suspended"), "{suspend}");
    assert!(app.run_cli(&["tenants", "list"]).contains("by the command"));
    assert!(app.run_cli(&["tenants", "resume", TEAM]).contains("is resumed"));
    assert!(app.run_cli(&["tenants", "resume", TEAM]).contains("nothing was changed"));
    app.run_cli(&["tenants", "suspend", TEAM, "for good"]);
    app.simulator.uninstall(TEAM);
    app.wait_for_query("select count(*) from tenants", "0").await;
    app.wait_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_views_tenants_queue_and_system() {
    let app = TestApp::start_with_operators(ADA_AT_ACME).await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    app.database.query(
        "insert into tenants (tenant_id, name, created_at)
         select 'T0OLD' || n, (array['Northwind', 'Initech', 'Umbrella', 'Hooli', 'Globex'])[n], now() - n * interval '14 days'
         from generate_series(1, 5) as n;
         insert into audit_log (tenant_id, actor, action, created_at)
         select 'T0OLD' || n, 'U1', 'installed', now() - n * interval '14 days' from generate_series(1, 5) as n;
         insert into audit_log (tenant_id, actor, action, created_at)
         select 'T0GONE', 'U1', action, now() - days * interval '1 day'
         from (values ('installed', 60), ('deleted', 20)) as gone (action, days);
         update tenants set delete_after = now() + interval '3 days' where tenant_id = 'T0OLD2'",
    );
    for _ in 0..3 {
        app.send_dm(GRACE, None, "say: Yes.");
    }
    app.wait_for_query("select count(*) from events where outcome = 'answered'", "3").await;
    app.simulator.set_model_options("fail=400&fail_times=2");
    app.send_dm_in_team(BETA, BETA_ADA, "say: It fails.");
    app.send_dm(ADA, None, "say: It fails, too.");
    app.wait_for_query("select count(*) from events where outcome = 'set_aside'", "2").await;
    app.simulator.set_model_options("ttft=0&gap=0");

    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    let go = async |path: &str| {
        browser.client.goto(&format!("{}{path}", app.web.url())).await.expect("the page");
    };
    let text = async |test_id: &str| browser.find_test_id(test_id).await.text().await.expect("text");
    go("/operators").await;
    let tenants = text("tenants").await;
    assert!(
        tenants.contains("Beta") && tenants.contains("Hooli") && tenants.contains("1 failed"),
        "{tenants}"
    );
    browser.find_test_id("growth").await;
    browser.take_screenshots("operators").await;
    browser.type_into("search", "bet").await;
    browser.click("find").await;
    browser.find_css("input[value=bet]").await;
    let found = text("tenants").await;
    assert!(found.contains("Beta") && !found.contains("Hooli"), "{found}");

    go("/operators/tenants/T0BETA").await;
    assert_eq!(text("state").await, "Active");
    browser.take_screenshots("operators-tenant").await;
    browser.type_into("suspend-reason", "They asked for it").await;
    browser.click("suspend").await;
    assert!(text("reason").await.contains("They asked for it"));
    browser.take_screenshots("operators-suspended").await;

    go("/operators/queue").await;
    let line = text("failed-events").await;
    assert!(line.contains("T0BETA") && line.contains(TEAM), "{line}");
    browser.take_screenshots("operators-queue").await;
    browser
        .find_css("form[action^='/operators/tenants/T0ACME'] [data-testid=redrive]")
        .await
        .click()
        .await
        .expect("a click");
    app.wait_for_query(
        "select count(*) from events where outcome = 'set_aside' and tenant_id = 'T0ACME'",
        "0",
    )
    .await;
    go("/operators/queue").await;
    browser
        .find_css("form[action^='/operators/tenants/T0BETA'] [data-testid=discard]")
        .await
        .click()
        .await
        .expect("a click");
    browser.find_test_id("no-failed-events").await;
    let written = "select string_agg(tenant_id || ' ' || action, ', ' order by entry_id) from audit_log where actor = 'operator:U0ADA'";
    assert_eq!(app.database.query(written), "T0BETA suspended, T0ACME redriven, T0BETA discarded");

    // An unknown column stops key rotation; otherwise the old key might be replaced before the page shows it.
    app.database.query("alter table settings add column of_tomorrow bytea");
    app.database.query(
        "update encryption_keys set created_at = now() - interval '91 days' where tenant_id = 'T0BETA'",
    );
    go("/operators/system").await;
    assert!(text("rotation").await.starts_with("2 of 2 data keys"));
    assert!(text("oldest-key").await.contains("due for rotation after 90 days. Due"));
    let replicas = text("replicas").await;
    assert!(replicas.contains("api") && replicas.contains("web"), "{replicas}");
    let limits = text("limits").await;
    assert!(limits.contains("1000000/second") && limits.contains("offline"), "{limits}");
    browser.take_screenshots("operators-system").await;

    app.run_cli(&[
        "tenants",
        "suspend",
        TEAM,
        "The reason is read by everybody who belongs to the workspace",
    ]);
    go("/dashboard").await;
    assert!(text("suspended").await.contains("The reason is read by everybody"));
    browser.take_screenshots("dashboard-suspended").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn instance_registers_and_leaves() {
    let mut app = TestApp::start().await;
    let replicas = "select string_agg(service, ' ' order by service) from instances";
    app.wait_for_query(replicas, "api web").await;
    let facts = "select facts->>'models', facts->>'base_url' like 'http://127.0.0.1%/v1' from instances where service = 'api'";
    assert_eq!(app.database.query(facts), r#"["offline"]|t"#);
    app.database.query("insert into instances values (gen_random_uuid(), 'api', '0', 'lost:1', now(), now() - interval '11 minutes')");
    let status = app.apis[0].stop().expect("it ends");
    assert!(status.success());
    app.wait_for_query(replicas, "api web").await;
    app.apis.clear();
    app.add_api(app.settings.ports.api, &[]);
    app.wait_for_query("select count(*) from instances where host = 'lost:1'", "0").await;
    app.wait_for_query(replicas, "api web").await;
    let status = app.web.stop().expect("it ends");
    assert!(status.success());
    app.wait_for_query(replicas, "api").await;
}
