//! `deploy/supabase/check.sql` on a database like Supabase's: it accepts the result of `web migrate`, and
//! reports deviations.

use std::collections::BTreeMap;
use std::process::Command;

use xtask::cluster::{Cluster, ROLE};
use xtask::postgres::PostgresPrograms;
use xtask::settings::{Ports, Secrets, StackSettings};
use xtask::workspace;

use crate::fixtures::{TestDatabase, binaries, start_cluster};

/// The roles of a project's Data API, which exposes everything in `public` to them.
const SUPABASE_ROLES_SQL: &str = "
    create role anon nologin noinherit;
    create role authenticated nologin noinherit;
    create role service_role nologin noinherit bypassrls;
    create role authenticator login noinherit;
    grant anon, authenticated, service_role to authenticator;
    alter role authenticator set pgrst.db_schemas = 'public, graphql_public'";

/// The name of each check, with `ok` or its finding.
type SupabaseChecks = BTreeMap<String, String>;

fn run_check(database: &TestDatabase) -> SupabaseChecks {
    let programs = PostgresPrograms::find_or_install().expect("Postgres' programs");
    let mut psql = Command::new(programs.path("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"]);
    psql.args(["--dbname", &database.url, "--file"]).arg(workspace::root().join("deploy/supabase/check.sql"));
    let told = workspace::output(&mut psql).expect("it runs");
    let rows = told.lines().map(|line| line.split('|').collect::<Vec<_>>());
    rows.map(|row| (row[0].to_owned(), if row[1] == "ok" { "ok" } else { row[2] }.to_owned())).collect()
}

/// Returns the checks that failed.
fn failed_checks(database: &TestDatabase) -> Vec<(String, String)> {
    run_check(database).into_iter().filter(|(_, found)| found != "ok").collect()
}

/// Runs SQL that only Supabase itself may run.
fn run_as_superuser(cluster: &Cluster, database: &TestDatabase, sql: &str) {
    let mut psql = cluster.client("psql");
    psql.env("PGUSER", "postgres").args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]);
    workspace::output(psql.args(["--dbname", database.name(), "--command", sql])).expect("it runs");
}

#[test]
fn supabase_check_passes_and_detects_faults() {
    let cluster = start_cluster("supabase");
    let database = TestDatabase::create_on_cluster(&cluster);
    run_as_superuser(&cluster, &database, SUPABASE_ROLES_SQL);
    let missing: Vec<String> = failed_checks(&database).into_iter().map(|(name, _)| name).collect();
    assert_eq!(missing, ["roles of transactions", "schema"], "before the migrations");

    let ports = Ports::free().expect("free ports");
    let settings =
        StackSettings::simulated(ports, database.url.clone(), Secrets::generate().expect("random bytes"));
    settings.migrate(binaries().path("web").expect("web")).expect("it migrates");
    assert_eq!((run_check(&database).len(), failed_checks(&database)), (10, Vec::new()));

    let owner = format!("alter role {ROLE}");
    for (fault, repair, name, found) in [
        (
            "alter role authenticator set pgrst.db_schemas = 'public, enablebot'",
            "alter role authenticator set pgrst.db_schemas = 'public'",
            "Data API: exposed schemas",
            "authenticator: public, enablebot",
        ),
        (
            "grant usage on schema enablebot to anon",
            "revoke usage on schema enablebot from anon",
            "Data API: roles",
            "may use the schema: anon",
        ),
        (
            "alter table enablebot.chat_memory no force row level security",
            "alter table enablebot.chat_memory force row level security",
            "rows of a tenant",
            "without forced row-level security: chat_memory",
        ),
        (
            "alter role enablebot_tenant bypassrls",
            "alter role enablebot_tenant nobypassrls",
            "roles of transactions",
            "enablebot_service, enablebot_tenant may log in, make roles, or pass by the policies",
        ),
        (
            "create publication supabase_realtime for table enablebot.tenants",
            "drop publication supabase_realtime",
            "Realtime",
            "publishes tenants",
        ),
        (
            "create extension pg_trgm schema enablebot",
            "alter extension pg_trgm set schema public",
            "extensions",
            "in the schema: pg_trgm",
        ),
        (
            &format!("{owner} superuser"),
            &format!("{owner} nosuperuser"),
            "role",
            "enablebot: superuser t, createrole t, createdb t, bypassrls t",
        ),
    ] {
        run_as_superuser(&cluster, &database, fault);
        assert_eq!(failed_checks(&database), [(name.to_owned(), found.to_owned())], "{fault}");
        run_as_superuser(&cluster, &database, repair);
    }
    run_as_superuser(&cluster, &database, &format!("{owner} connection limit 20"));
    assert_eq!(failed_checks(&database)[0].0, "connections");
    run_as_superuser(&cluster, &database, &format!("{owner} connection limit -1"));
    assert_eq!(failed_checks(&database), Vec::new(), "all is repaired");
}
