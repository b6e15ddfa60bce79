//! No transaction reaches another tenant's rows: checked in the catalogue, and by running every query of
//! `db`.

mod queries;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use regex::Regex;
use serde_json::Value;
use xtask::cluster::SCHEMA;
use xtask::postgres::PostgresPrograms;
use xtask::settings::{Ports, Secrets, StackSettings};
use xtask::workspace;

use self::queries::{QueryAttempt, TenantParams};
use crate::fixtures::{TestDatabase, binaries};

/// The tenant that runs the queries, the tenant of the rows, and a tenant that does not exist.
const OWN_TENANT: &str = "T0ACME";
const OTHER_TENANT: &str = "T0BETA";
const UNKNOWN_TENANT: &str = "T0NONE";

/// Tables with a tenant column that no policy guards, or not for every command.
const TABLES_WITHOUT_POLICY_SQL: &str = "
    select c.relname from pg_class c
    where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
      and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname in ('tenant_id', 'tenant_ids'))
      and not (c.relrowsecurity and c.relforcerowsecurity
               and exists (select from pg_policy p where p.polrelid = c.oid
                           and p.polroles = array['enablebot_tenant'::regrole::oid]
                           and concat(pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid))
                               ~ '^\\(tenant_ids? (=|<@) (ARRAY\\[)?current_setting\\(''enablebot.tenant_id''::text, true\\)\\]?\\)$')
               and not exists (select from pg_policy p where p.polrelid = c.oid
                               and (0 = any (p.polroles) or 'enablebot_tenant'::regrole = any (p.polroles))
                               and p.polname not in ('own_rows', 'own_events')))
    order by 1";

/// Returns a database with all migrations.
pub(crate) fn migrated_database() -> TestDatabase {
    let database = TestDatabase::create();
    let ports = Ports::free().expect("free ports");
    let settings =
        StackSettings::simulated(ports, database.url.clone(), Secrets::generate().expect("random bytes"));
    settings.migrate(binaries().path("web").expect("web")).expect("it migrates");
    database
}

#[test]
fn every_tenant_table_has_forced_rls() {
    let database = migrated_database();
    let tables = "select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid
                  where a.attname in ('tenant_id', 'tenant_ids') and c.relkind in ('r', 'p')
                    and c.relnamespace = 'enablebot'::regnamespace";
    assert!(
        database.query(tables).parse::<u32>().expect("a number") > 35,
        "with the partitions of chat_memory"
    );
    assert_eq!(database.query(TABLES_WITHOUT_POLICY_SQL), "");
    // The check finds such tables.
    for stray in [
        "create table stray (tenant_id text)",
        "alter table stray enable row level security; alter table stray force row level security;
         create policy own_rows on stray to enablebot_tenant using (true)",
    ] {
        database.query(stray);
        assert_eq!(database.query(TABLES_WITHOUT_POLICY_SQL), "stray");
    }
    database.query("drop table stray");

    let rights = "select rolname, rolsuper, rolbypassrls, rolcanlogin, (select count(*) from pg_class where relowner = r.oid)
                  from pg_roles r where rolname like 'enablebot\\_%' order by 1";
    // The first one is that of the services, which logs in.
    assert_eq!(
        database.query(rights),
        "enablebot_app|f|f|t|0\nenablebot_service|f|f|f|0\nenablebot_tenant|f|f|f|0"
    );
    let append_only = "select role, has_column_privilege(role, 'audit_log', 'action', 'insert'),
                              has_column_privilege(role, 'audit_log', 'created_at', 'insert')
                              or has_table_privilege(role, 'audit_log', 'update, delete, truncate'),
                              has_table_privilege(role, 'audit_chains', 'insert, update, delete, truncate')
                       from unnest(array['enablebot_service', 'enablebot_tenant']) as roles (role)";
    assert_eq!(database.query(append_only), "enablebot_service|t|f|f\nenablebot_tenant|t|f|f");
    // Supabase exposes the schema public to everyone with a project's public key.
    let shown = "select count(*), has_schema_privilege('public', 'enablebot', 'usage') from pg_class
                 where relnamespace = 'public'::regnamespace";
    assert_eq!(database.query(shown), "0|f");
}

#[test]
fn no_query_crosses_tenants() {
    let database = migrated_database();
    let filling = include_str!("two_tenants.sql");
    for (tenant, number) in [(OWN_TENANT, "1000000000"), (OTHER_TENANT, "2000000000")] {
        database.query(&filling.replace("{T}", tenant).replace("{N}", number));
    }
    let tables = database.query(
        "select relname from pg_class c join pg_attribute a on a.attrelid = c.oid
         where attname = 'tenant_id' and relkind in ('r', 'p') and not relispartition
           and relnamespace = 'enablebot'::regnamespace",
    );
    for table in tables.lines() {
        let theirs =
            database.query(&format!("select count(*) from {table} where tenant_id = '{OTHER_TENANT}'"));
        assert_ne!(theirs, "0", "two_tenants.sql leaves {table} out");
    }

    let attempts = load_query_attempts();
    assert!(attempts.len() > 200, "{}", attempts.len());
    let reached = |who| {
        let told = run_attempts(&database, who, &attempts);
        let differs = |attempt: &&QueryAttempt| {
            let told = &told[&attempt.hash];
            told.is_changed || told.rows[0] != told.rows[1]
        };
        attempts.iter().filter(differs).collect::<Vec<_>>()
    };
    // Run by the tenant itself the same attempts succeed, except where another row would be needed.
    let own = reached(OTHER_TENANT);
    eprintln!("{} of {} attempts succeed for the tenant itself", own.len(), attempts.len());
    assert!(own.len() > 120, "only {} of {} attempts would show anything", own.len(), attempts.len());
    let others: Vec<&str> = reached(OWN_TENANT).iter().map(|attempt| attempt.query.as_str()).collect();
    assert!(
        others.is_empty(),
        "{} queries reach another tenant's rows:\n{}",
        others.len(),
        others.join("\n\n")
    );
    // Without row level security the test notices access.
    database.query("alter table usage disable row level security");
    assert!(reached(OWN_TENANT).len() > 5, "they would be reached without a policy");
}

/// Returns each query that sqlx knows, with the parameters to reach the other tenant's rows.
fn load_query_attempts() -> Vec<QueryAttempt> {
    let folder = workspace::root().join(".sqlx");
    let files = fs::read_dir(folder).expect("the queries").map(|entry| entry.expect("an entry").path());
    let mut attempts: Vec<_> = files
        .map(|file| {
            let described: Value =
                serde_json::from_str(&fs::read_to_string(file).expect("text")).expect("JSON");
            QueryAttempt::new(&described)
        })
        // The next number of a sequence belongs to no tenant.
        .filter(|attempt: &QueryAttempt| !attempt.query.starts_with("select nextval("))
        .collect();
    attempts.sort_by(|a, b| a.hash.cmp(&b.hash));
    attempts
}

/// The result of an attempt.
#[derive(Debug, Default)]
struct QueryOutcome {
    /// Rows that were returned for the other tenant, and for the one that does not exist.
    rows: [Vec<String>; 2],
    /// True if the other tenant's rows have changed.
    is_changed: bool,
}

/// Runs every attempt in a transaction for this tenant, which is rolled back.
fn run_attempts(
    database: &TestDatabase,
    who: &str,
    attempts: &[QueryAttempt],
) -> BTreeMap<String, QueryOutcome> {
    let state = "create function pg_temp.theirs() returns text language plpgsql as $$
        declare _table text; _all text := ''; _one text;
        begin
            for _table in select relname from pg_class c join pg_attribute a on a.attrelid = c.oid
                          where attname = 'tenant_id' and relkind in ('r', 'p') and not relispartition
                            and relnamespace = 'enablebot'::regnamespace order by 1 loop
                execute format('select md5(string_agg(t::text, '','' order by t::text)) from %I t where tenant_id = %L',
                               _table, 'T0BETA') into _one;
                _all := _all || ' ' || coalesce(_one, '-');
            end loop;
            return md5(_all);
        end $$;\n\\echo #before\nselect pg_temp.theirs();\n";
    let mut script = state.to_owned();
    let params =
        [TenantParams::new(OTHER_TENANT, 2_000_000_000), TenantParams::new(UNKNOWN_TENANT, 3_000_000_000)];
    for attempt in attempts {
        script += &format!("begin; prepare q{} as {};\n", attempt.prepare_types(), attempt.query);
        for params in &params {
            let execute = attempt.execute("q", params);
            script += &format!(
                "\\echo #rows {}\nsavepoint s; set local role enablebot_tenant;
                 set local enablebot.tenant_id = '{who}';\n{execute};\nreset role;\n\\echo #state\n
                 select pg_temp.theirs(); rollback to s;\n",
                attempt.hash
            );
        }
        script += "rollback; deallocate q;\n";
    }
    parse_outcomes(&run_psql_script(database, &script), &params)
}

fn parse_outcomes(output: &str, params: &[TenantParams]) -> BTreeMap<String, QueryOutcome> {
    let uuid = Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}").expect("a pattern");
    let mut told: BTreeMap<String, QueryOutcome> = BTreeMap::new();
    let mut pieces = output.split('#').skip(1);
    let before = pieces.next().and_then(|piece| piece.strip_prefix("before\n")).expect("a digest").trim();
    let mut turn = BTreeMap::<String, usize>::new();
    let mut current = (String::new(), 0);
    for piece in pieces {
        let (head, rest) = piece.split_once('\n').unwrap_or((piece, ""));
        match head.split_once(' ') {
            Some(("rows", hash)) => {
                let turn = turn.entry(hash.to_owned()).or_default();
                current = (hash.to_owned(), *turn);
                // A query by id may return that id.
                let neutral = |line: &str| uuid.replace_all(&params[*turn].mask(line), "a uuid").into_owned();
                told.entry(hash.to_owned()).or_default().rows[*turn] = rest.lines().map(neutral).collect();
                *turn += 1;
            }
            // After an error there is no digest, and nothing has changed.
            _ if current.1 == 0 => {
                let now = rest.trim();
                told.entry(current.0.clone()).or_default().is_changed |= !now.is_empty() && now != before;
            }
            _ => {}
        }
    }
    told
}

/// Runs a script that continues after errors, since a refusal is an error.
fn run_psql_script(database: &TestDatabase, script: &str) -> String {
    let folder = workspace::target().join(format!("test/isolation-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("attempts.sql");
    fs::write(&file, script).expect("written");
    let mut psql =
        Command::new(PostgresPrograms::find_or_install().expect("Postgres' programs").path("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--dbname", &database.url]);
    psql.env("PGOPTIONS", format!("-c search_path={SCHEMA},public")).arg("--file").arg(file);
    let output = psql.output().expect("psql runs");
    fs::remove_dir_all(folder).expect("removed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
