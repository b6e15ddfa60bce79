//! Every page of `web`: access, appearance in each view, and no access to another workspace's data.

use crate::chromium::Chromium;
use crate::fixtures::TestDatabase;
use crate::test_app::{ADA, BETA, BETA_ADA, GRACE, TEAM, TestApp};

/// An operator who is not an admin of any workspace.
const OPERATOR_USER: &str = "U0LINUS";

/// A page, and the statuses for an admin, a member and an operator.
const PAGE_STATUSES: [(&str, &str, [u16; 3]); 21] = [
    ("/dashboard?range=90d", "overview", [200, 200, 200]),
    ("/dashboard?range=24h", "overview-day", [200, 200, 200]),
    ("/dashboard/conversations", "conversations", [200, 200, 200]),
    ("/dashboard/conversations?q=travel", "conversations-search", [200, 200, 200]),
    ("/dashboard/events", "events", [200, 200, 200]),
    ("/dashboard/events?outcome=set_aside", "events-failed", [200, 200, 200]),
    ("/dashboard/people", "people", [200, 403, 403]),
    ("/dashboard/people?q=nobody-is-called-so", "people-none", [200, 403, 403]),
    ("/dashboard/people/me", "me", [200, 200, 200]),
    ("/dashboard/sessions", "sessions", [200, 200, 200]),
    ("/dashboard/settings", "settings", [200, 403, 403]),
    ("/dashboard/api-keys", "api-keys", [200, 403, 403]),
    ("/dashboard/api", "api", [200, 200, 200]),
    ("/dashboard/health", "health", [200, 403, 403]),
    ("/dashboard/audit", "audit", [200, 403, 403]),
    ("/dashboard/audit?verify=1", "audit-verified", [200, 403, 403]),
    ("/dashboard/data", "data", [200, 403, 403]),
    ("/operators", "operators", [404, 404, 200]),
    ("/operators/tenants/T0ACME", "operators-tenant", [404, 404, 200]),
    ("/operators/queue", "operators-queue", [404, 404, 200]),
    ("/operators/system", "operators-system", [404, 404, 200]),
];

/// Starts an app with three months of two workspaces whose conversations may be read.
async fn start_with_seed_data() -> TestApp {
    let name = |settings: &mut xtask::settings::StackSettings| {
        settings.operators = Some(format!("{TEAM}/{OPERATOR_USER}"))
    };
    let app = TestApp::start_on_database(TestDatabase::create(), name, |_| {}, &[]).await;
    app.simulator.add_team(BETA, "Beta");
    xtask::seed::seed(&app.settings.owner().web_variables()).expect("it is filled");
    // Slack says who is an admin to the holder of a valid token only.
    for team in [TEAM, BETA] {
        app.install_in(team).await;
    }
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_role_restricted_and_accessible() {
    let app = start_with_seed_data().await;
    for (role, user) in
        [("admin", ADA), ("member", GRACE), ("operator", OPERATOR_USER)].into_iter().enumerate()
    {
        let (name, id) = user;
        let cookie = app.sign_in(id).await;
        let browser = Chromium::start().await;
        browser.sign_in(&app, id).await;
        for (path, page, statuses) in PAGE_STATUSES {
            let status = app.get_page(path, Some(&cookie)).await.status();
            assert_eq!(status, statuses[role], "{name} {path}");
            if status == 200 {
                browser.client.goto(&format!("{}{path}", app.web.url())).await.expect("the page");
                browser.find_css("main h1").await;
                browser.take_screenshots(&format!("{name}-{page}")).await;
            }
        }
        assert_eq!(browser.console_errors().await, Vec::<String>::new(), "{name}");
    }
    for (path, ..) in PAGE_STATUSES {
        assert_eq!(app.get_page(path, None).await.status(), 303, "a stranger at {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_reaches_other_workspace() {
    let app = start_with_seed_data().await;
    let (acme, stranger) = (app.sign_in(ADA).await, app.sign_in(BETA_ADA).await);
    let own = |sql: &str| app.database.query(&format!("{sql} where tenant_id = '{TEAM}' limit 1"));
    app.send_form(
        "/dashboard/api-keys",
        Some(&acme),
        &[("key_id", &uuid::Uuid::new_v4().to_string()), ("name", "x"), ("chat", "on")],
    )
    .await;
    let before =
        app.database.query("select count(*), max(entry_id) from audit_log where tenant_id = 'T0ACME'");
    let ids = [
        ("{event_id}", own("select event_id from events")),
        ("{user_id}", own("select user_id from people")),
        ("{channel_id}/{thread_ts}", own("select channel_id || '/' || thread_ts from chat_memory")),
        ("{key_id}", own("select key_id from api_keys")),
        ("{session_id}", own("select session_id from sessions")),
        ("{tenant_id}", TEAM.to_owned()),
    ];
    let metrics = app.get_page("/metrics", None).await.text().await.expect("text");
    let mut routes: Vec<(&str, &str)> = metrics.lines().filter_map(parse_route).collect();
    routes.sort_unstable();
    routes.dedup();
    let mut tried = 0;
    for (pattern, method) in routes.into_iter().filter(|(pattern, _)| pattern.contains('{')) {
        let path = ids.iter().fold(pattern.to_owned(), |path, (name, id)| path.replace(name, id));
        if path.starts_with("/assets") {
            continue;
        }
        assert!(!path.contains('{'), "{pattern} has an id that this test does not know");
        let answer = match method {
            "POST" => app.send_form(&path, Some(&stranger), &[]).await,
            _ => app.get_page(&path, Some(&stranger)).await,
        };
        assert_eq!(answer.status(), 404, "{method} {path}");
        tried += 1;
    }
    assert!(tried > 10, "{tried} routes");
    let after =
        app.database.query("select count(*), max(entry_id) from audit_log where tenant_id = 'T0ACME'");
    assert_eq!(after, before, "nothing was done");
}

/// Parses a route's pattern and method from a line of `/metrics`.
pub(crate) fn parse_route(line: &str) -> Option<(&str, &str)> {
    let labels = line.strip_prefix("enablebot_http_requests_total{")?;
    let value = |name: &str| Some(labels.split_once(&format!("{name}=\""))?.1.split_once('"')?.0);
    Some((value("route")?, value("method")?))
}
