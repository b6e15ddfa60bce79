//! The services' role in Postgres: it owns nothing and may only take the roles of transactions. All other
//! tests run the services with it too.

use std::process::Command;

use xtask::cluster::{SCHEMA, SERVICE_ROLE, free_port};
use xtask::postgres::PostgresPrograms;
use xtask::service;

use crate::fixtures::{TestDatabase, binaries};
use crate::test_app::{ADA, TestApp};

/// Functions that act as their owner and that somebody besides the owner and `enablebot_service` may call, or
/// whose names the caller can redirect.
const OPEN_FUNCTIONS_SQL: &str = "
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = 'enablebot'::regnamespace and p.prosecdef
      and (exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as acl
                   where acl.grantee not in (p.proowner, 'enablebot_service'::regrole))
           or not exists (select from unnest(p.proconfig) as setting
                          where setting ~ '^search_path=enablebot, pg_temp$'))
    order by 1";

/// Runs SQL as the role of the services. Returns what Postgres says.
fn run_as_service_role(database: &TestDatabase, sql: &str) -> String {
    let programs = PostgresPrograms::find_or_install().expect("Postgres' programs");
    let url = database.url.replace("//enablebot@", &format!("//{SERVICE_ROLE}@"));
    let mut psql = Command::new(programs.path("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--dbname", &url, "--command", sql]);
    let done = psql.output().expect("it runs");
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).trim().to_owned()
}

async fn readiness(app: &TestApp, port: u16) -> String {
    let url = format!("http://127.0.0.1:{port}/health/ready");
    let answer = app.http.get(url).send().await.expect("it answers");
    assert_eq!(answer.status(), 200);
    answer.text().await.expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn services_own_nothing_and_owner_is_reported() {
    let mut app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let ts = app.send_dm(ADA, None, "say: I own nothing.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "I own nothing.");
    let sessions = format!(
        "select count(*) > 0, bool_and(usename = '{SERVICE_ROLE}') from pg_stat_activity
         where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"
    );
    assert_eq!(app.database.query(&sessions), "t|t");

    let rights = format!(
        "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb,
                (select count(*) from pg_shdepend where refobjid = r.oid and deptype = 'o'),
                (select string_agg(roleid::regrole::text, ',' order by roleid::regrole::text) from pg_auth_members where member = r.oid),
                has_schema_privilege(oid, '{SCHEMA}', 'create')
         from pg_roles r where rolname = '{SERVICE_ROLE}'"
    );
    assert_eq!(app.database.query(&rights), "f|f|f|f|0|enablebot_service,enablebot_tenant|f");
    let refused = |sql: &str| {
        let told = run_as_service_role(&app.database, sql);
        assert!(told.contains("permission denied") || told.contains("must be owner"), "{sql}: {told}");
    };
    for sql in [
        "select * from enablebot.tenants",
        "create table enablebot.own (id integer)",
        "create schema own",
        "create role own",
        "alter table enablebot.tenants no force row level security",
        "set role enablebot",
        "set role enablebot_service; create table enablebot.own (id integer)",
        "set role enablebot_tenant; select enablebot.purge_audit_entries('T0ACME', '1 day', 1)",
    ] {
        refused(sql);
    }
    let allowed = "set role enablebot_service; select tenant_id from enablebot.tenants";
    assert_eq!(run_as_service_role(&app.database, allowed), "T0ACME");

    let (api, web) = (app.apis[0].port, app.web.port);
    for port in [api, web] {
        assert!(!readiness(&app, port).await.contains("database_role"));
    }
    // One role for everything still works, and is reported.
    let owner = [("DATABASE_URL", app.database.url.clone())];
    let owner: Vec<(&str, &str)> = owner.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let web = app.add_web_with(free_port().expect("a port"), &owner);
    app.add_api(free_port().expect("a port"), &owner);
    for port in [web.port, app.apis[1].port] {
        let ready = readiness(&app, port).await;
        let told = "owns the tables, bypasses row-level security, creates roles, creates databases; give the";
        assert!(ready.contains(told), "{ready}");
    }
    let mut doctor = Command::new(binaries().path("web").expect("web"));
    doctor.arg("doctor").env_clear().envs(app.settings.owner().web_variables());
    let told = doctor.output().expect("it runs").stdout;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("the role enablebot owns the tables") && told.contains("Database roles"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn definer_functions_serve_service_role_only() {
    let app = TestApp::start().await;
    let functions =
        "select count(*) from pg_proc where pronamespace = 'enablebot'::regnamespace and prosecdef";
    assert!(app.database.query(functions).parse::<u32>().expect("a number") >= 5);
    assert_eq!(app.database.query(OPEN_FUNCTIONS_SQL), "");
    // The check finds such functions.
    app.database.query("create function stray() returns void language sql security definer as ''");
    assert_eq!(app.database.query(OPEN_FUNCTIONS_SQL), "stray()");
    app.database.query("drop function stray()");
}

#[test]
fn migrate_names_missing_service_role() {
    let database = TestDatabase::create();
    let secrets = xtask::settings::Secrets::generate().expect("random bytes");
    let ports = xtask::settings::Ports::free().expect("free ports");
    let settings = xtask::settings::StackSettings::simulated(ports, database.url.clone(), secrets);
    let migrate = |role: &str| {
        let web = binaries().path("web").expect("web");
        let arguments = ["migrate", "--service-role", role];
        service::run_command(web, &arguments, &settings.owner().web_variables()).map_err(|e| e.to_string())
    };
    let missing = migrate("nobody_of_that_name").expect_err("there is none");
    assert!(missing.contains("create role nobody_of_that_name login noinherit"), "{missing}");
    let itself = migrate("enablebot").expect("it migrates");
    assert!(itself.contains("Warning: the role enablebot owns the tables"), "{itself}");
    let told = migrate(SERVICE_ROLE).expect("it migrates");
    assert!(told.contains("The services may log in as enablebot_app."), "{told}");
}
