//! Who may what: every role against every page and action of the dashboard, each cell over HTTP.

use std::collections::BTreeSet;

use simulator::SimulatedUser;

use crate::page_access::parse_route;
use crate::test_app::{ADA, BETA, GRACE, TEAM, TestApp};

const ORG: &str = "E0ORG";
const NORTH: &str = "T0NORTH";
const SOUTH: &str = "T0SOUTH";

/// A person of Acme whom a manager may look up.
const TARGET: &str = "U0LINUS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Stranger,
    Guest,
    /// A member of another workspace.
    External,
    Member,
    NamedManager,
    WorkspaceAdmin,
    /// An admin of one workspace of an org-wide install.
    AdminWithinOrg,
    OrgAdmin,
    Operator,
    /// The operator's namesake in another workspace, with the same verified address.
    OtherOperator,
    Deactivated,
    /// A person whose data was deleted.
    Forgotten,
}

/// Who gets the status; the others are refused.
#[derive(Clone, Copy, Debug)]
enum Access {
    /// Everybody who is signed in.
    SignedIn(u16),
    /// People who manage their own workspace.
    Managers(u16),
    /// People whom Slack calls admins of their own workspace or organisation.
    Admins(u16),
    /// Managers of the workspace of the person or thing in the path. It does not exist for others.
    ManagersOfAcme(u16),
    /// Operators. The page does not exist for others.
    Operators(u16),
}

type Cell = (&'static str, &'static str, &'static [(&'static str, &'static str)], Access);

/// The routes that need no sign-in.
const OPEN_ROUTES: [(&str, &str); 7] = [
    ("/", "GET"),
    ("/assets/{name}", "GET"),
    ("/login", "GET"),
    ("/login/callback", "GET"),
    ("/logout", "POST"),
    ("/slack/install", "GET"),
    ("/slack/oauth/callback", "GET"),
];

/// Every page and action, with a path, and a form that changes as little as possible.
const CELLS: [(&str, Cell); 44] = [
    ("/dashboard", ("GET", "/dashboard", &[], Access::SignedIn(200))),
    ("/dashboard/live", ("GET", "/dashboard/live", &[], Access::SignedIn(200))),
    ("/dashboard/events", ("GET", "/dashboard/events", &[], Access::SignedIn(200))),
    ("/dashboard/events/{event_id}", ("GET", "/dashboard/events/{event}", &[], Access::ManagersOfAcme(200))),
    (
        "/dashboard/events/{event_id}/redrive",
        ("POST", "/dashboard/events/EvNone/redrive", &[], Access::Managers(404)),
    ),
    (
        "/dashboard/events/{event_id}/discard",
        ("POST", "/dashboard/events/EvNone/discard", &[], Access::Managers(404)),
    ),
    ("/dashboard/health", ("GET", "/dashboard/health", &[], Access::Managers(200))),
    ("/dashboard/audit", ("GET", "/dashboard/audit", &[], Access::Managers(200))),
    ("/dashboard/audit.csv", ("GET", "/dashboard/audit.csv", &[], Access::Managers(200))),
    ("/dashboard/data", ("GET", "/dashboard/data", &[], Access::Managers(200))),
    ("/dashboard/data/exports", ("GET", "/dashboard/data/exports", &[], Access::Managers(200))),
    ("/dashboard/data/export.tar", ("POST", "/dashboard/data/export.tar", &[], Access::Managers(200))),
    (
        "/dashboard/data/delete",
        ("POST", "/dashboard/data/delete", &[("workspace", "no")], Access::Managers(422)),
    ),
    ("/dashboard/api", ("GET", "/dashboard/api", &[], Access::SignedIn(200))),
    ("/dashboard/api-keys", ("GET", "/dashboard/api-keys", &[], Access::Managers(200))),
    ("/dashboard/api-keys", ("POST", "/dashboard/api-keys", &[("name", "")], Access::Managers(400))),
    (
        "/dashboard/api-keys/{key_id}/revoke",
        ("POST", "/dashboard/api-keys/no-key/revoke", &[], Access::Managers(404)),
    ),
    ("/dashboard/conversations", ("GET", "/dashboard/conversations", &[], Access::SignedIn(200))),
    (
        "/dashboard/conversations/{channel_id}/{thread_ts}",
        ("GET", "/dashboard/conversations/{thread}", &[], Access::ManagersOfAcme(200)),
    ),
    ("/dashboard/people", ("GET", "/dashboard/people", &[], Access::Managers(200))),
    ("/dashboard/people/{user_id}", ("GET", "/dashboard/people/U0LINUS", &[], Access::ManagersOfAcme(200))),
    ("/dashboard/people/{user_id}", ("GET", "/dashboard/people/me", &[], Access::SignedIn(200))),
    (
        "/dashboard/people/{user_id}/profile",
        (
            "POST",
            "/dashboard/people/U0LINUS/profile",
            &[("name", ""), ("role", ""), ("department", ""), ("location", "")],
            Access::ManagersOfAcme(303),
        ),
    ),
    (
        "/dashboard/people/{user_id}/export.json",
        ("POST", "/dashboard/people/U0LINUS/export.json", &[], Access::ManagersOfAcme(200)),
    ),
    (
        "/dashboard/people/{user_id}/forget",
        ("POST", "/dashboard/people/U0TARGET/forget", &[], Access::ManagersOfAcme(303)),
    ),
    ("/dashboard/settings", ("GET", "/dashboard/settings", &[], Access::Managers(200))),
    ("/dashboard/settings", ("POST", "/dashboard/settings", &[("seen", "never")], Access::Managers(200))),
    ("/dashboard/settings/review", ("POST", "/dashboard/settings/review", &[], Access::Managers(200))),
    (
        "/dashboard/settings/managers",
        ("POST", "/dashboard/settings/managers", &[("user_id", "no")], Access::Admins(422)),
    ),
    (
        "/dashboard/settings/managers/{user_id}/revoke",
        ("POST", "/dashboard/settings/managers/U0NOBODY/revoke", &[], Access::Admins(404)),
    ),
    (
        "/dashboard/settings/model-key",
        ("POST", "/dashboard/settings/model-key", &[("model_key", "")], Access::Managers(422)),
    ),
    (
        "/dashboard/settings/model-key/remove",
        ("POST", "/dashboard/settings/model-key/remove", &[], Access::Managers(303)),
    ),
    ("/operators", ("GET", "/operators", &[], Access::Operators(200))),
    ("/operators/tenants/{tenant_id}", ("GET", "/operators/tenants/T0ACME", &[], Access::Operators(200))),
    (
        "/operators/tenants/{tenant_id}/suspend",
        ("POST", "/operators/tenants/T0ACME/suspend", &[("reason", " ")], Access::Operators(400)),
    ),
    (
        "/operators/tenants/{tenant_id}/resume",
        ("POST", "/operators/tenants/T0ACME/resume", &[], Access::Operators(303)),
    ),
    (
        "/operators/tenants/{tenant_id}/weight",
        ("POST", "/operators/tenants/T0ACME/weight", &[("weight", "0")], Access::Operators(400)),
    ),
    (
        "/operators/tenants/{tenant_id}/events/{event_id}/redrive",
        ("POST", "/operators/tenants/T0ACME/events/EvNone/redrive", &[], Access::Operators(303)),
    ),
    (
        "/operators/tenants/{tenant_id}/events/{event_id}/discard",
        ("POST", "/operators/tenants/T0ACME/events/EvNone/discard", &[], Access::Operators(303)),
    ),
    ("/operators/queue", ("GET", "/operators/queue", &[], Access::Operators(200))),
    ("/operators/system", ("GET", "/operators/system", &[], Access::Operators(200))),
    ("/dashboard/sessions", ("GET", "/dashboard/sessions", &[], Access::SignedIn(200))),
    (
        "/dashboard/sessions/{session_id}/end",
        ("POST", "/dashboard/sessions/0199a5b2-c3d4-7e6f-8091-a2b3c4d5e6f7/end", &[], Access::SignedIn(404)),
    ),
    // The last one, because it signs everybody out.
    ("/dashboard/sessions/end-all", ("POST", "/dashboard/sessions/end-all", &[], Access::SignedIn(303))),
];

impl Role {
    /// Returns the status that this role gets.
    fn status(self, access: Access) -> u16 {
        use Role::{Deactivated, Forgotten, NamedManager, Operator, OrgAdmin, Stranger, WorkspaceAdmin};
        if matches!(self, Stranger | Deactivated | Forgotten) {
            return 303;
        }
        let (status, is_allowed, refusal) = match access {
            Access::SignedIn(status) => (status, true, 403),
            Access::Managers(status) => {
                (status, matches!(self, NamedManager | WorkspaceAdmin | OrgAdmin), 403)
            }
            Access::Admins(status) => (status, matches!(self, WorkspaceAdmin | OrgAdmin), 403),
            Access::ManagersOfAcme(status) => (status, matches!(self, NamedManager | WorkspaceAdmin), 404),
            Access::Operators(status) => (status, self == Operator, 404),
        };
        if is_allowed { status } else { refusal }
    }
}

impl TestApp {
    /// Starts with two workspaces and an organisation, a conversation of one person, and people of all roles.
    async fn start_with_all_roles() -> (Self, Vec<(Role, String)>) {
        let app = Self::start_with_operators("T0ACME/U0OPER,T0ACME/oper@example.com").await;
        let person = |id: &str, name: &str| SimulatedUser {
            id: id.into(),
            name: name.into(),
            ..SimulatedUser::default()
        };
        app.simulator.add_person(TEAM, SimulatedUser { is_restricted: true, ..person("U0GUEST", "Gus") });
        for (id, name) in [("U0OPER", "Oper"), ("U0MEMBER", "Mem"), ("U0LEFT", "Left"), ("U0PAST", "Past")] {
            app.simulator.add_person(TEAM, person(id, name));
        }
        app.simulator.add_team(BETA, "Beta");
        app.simulator.add_person(BETA, person("U0OPERBETA", "Oper"));
        app.install_in(BETA).await;
        app.simulator.add_enterprise(ORG, "Org", &[NORTH, SOUTH]);
        app.simulator.update_person(SOUTH, "U0ADASOUTH", |person| person.is_org_admin = true);
        let begun = app.begin_install().await;
        let back = app.simulator.allow_org_wide(&begun.authorize_url, ORG).expect("Slack allows it");
        assert_eq!(app.finish_install(&back, Some(&begun.cookie)).await.status(), 200);
        for team in [NORTH, SOUTH] {
            app.simulator.grant_team(ORG, team).expect("it is installed");
        }
        app.wait_for_query("select count(*) from team_access", "2").await;
        for user in [TARGET, "U0PAST"] {
            let ts = app.send_dm(user, None, "say: Yes.");
            app.wait_reply(&app.dm(user), &ts).await;
        }
        let people = [
            (Role::Guest, "U0GUEST"),
            (Role::External, "U0GRACEBETA"),
            (Role::Member, "U0MEMBER"),
            (Role::NamedManager, GRACE),
            (Role::WorkspaceAdmin, ADA),
            (Role::AdminWithinOrg, "U0ADANORTH"),
            (Role::OrgAdmin, "U0ADASOUTH"),
            (Role::Operator, "U0OPER"),
            (Role::OtherOperator, "U0OPERBETA"),
            (Role::Deactivated, "U0LEFT"),
            (Role::Forgotten, "U0PAST"),
        ];
        let mut cookies = vec![(Role::Stranger, String::new())];
        for (role, user) in people {
            cookies.push((role, app.sign_in(user).await));
        }
        let ada = app.sign_in(ADA).await;
        app.save_settings(&ada, &[("conversations", "on")]).await;
        assert_eq!(app.name_manager(&ada, GRACE).await.0, 303);
        app.simulator.deactivate(TEAM, "U0LEFT");
        app.database
            .query("update sessions set checked_at = now() - interval '11 minutes' where user_id = 'U0LEFT'");
        assert_eq!(app.send_form("/dashboard/people/U0PAST/forget", Some(&ada), &[]).await.status(), 303);
        (app, cookies)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_gets_its_pages_and_actions() {
    let (app, cookies) = TestApp::start_with_all_roles().await;
    let event =
        app.database.query("select event_id from events where user_id = 'U0LINUS' and outcome = 'answered'");
    let thread = app
        .database
        .query("select channel_id || '/' || thread_ts from chat_memory where user_id = 'U0LINUS' limit 1");
    for (_, (method, path, form, access)) in CELLS {
        let path = path.replace("{event}", &event).replace("{thread}", &thread);
        for (role, cookie) in &cookies {
            if path.ends_with("/forget") {
                app.database.query(
                    "insert into people (tenant_id, user_id, origin, name)
                     select tenant_id, 'U0TARGET', origin, name from people where user_id = 'U0LINUS'
                     on conflict (tenant_id, user_id) do update set name = excluded.name",
                );
            }
            let answer = match method {
                "POST" => app.send_form(&path, Some(cookie), form).await,
                _ => app.get_page(&path, Some(cookie)).await,
            };
            assert_eq!(answer.status(), role.status(access), "{role:?} {method} {path}");
        }
    }
}

/// A new page or action has to be added to the table.
#[tokio::test(flavor = "multi_thread")]
async fn role_table_names_every_route() {
    let app = TestApp::start().await;
    let metrics = app.get_page("/metrics", None).await.text().await.expect("text");
    let is_page = |path: &str| !path.starts_with("/health") && path != "/metrics" && path.starts_with('/');
    let routes: BTreeSet<(&str, &str)> =
        metrics.lines().filter_map(parse_route).filter(|(path, _)| is_page(path)).collect();
    let named: BTreeSet<(&str, &str)> =
        CELLS.iter().map(|(route, (method, ..))| (*route, *method)).chain(OPEN_ROUTES).collect();
    let missing: Vec<_> = routes.difference(&named).collect();
    assert!(missing.is_empty(), "{missing:?} are not in the table");
}
