//! No transaction reaches another tenant's rows: by the catalogue, and by every query of `db`, tried.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use regex::Regex;
use serde_json::Value;
use xtask::cluster::SCHEMA;
use xtask::postgres::Programs;
use xtask::service;
use xtask::settings::{Ports, Secrets, Settings};
use xtask::workspace;

use crate::attempts::{Attempt, Params};
use crate::ground::{Database, binaries};

/// Who asks, whose rows they are after, and somebody whom there is not.
const OWN: &str = "T0ACME";
const THEIRS: &str = "T0BETA";
const NOWHERE: &str = "T0NONE";

/// Tables with a tenant that no policy guards, or not every query.
const UNGUARDED: &str = "
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

fn migrated() -> Database {
    let database = Database::create();
    let ports = Ports::free().expect("free ports");
    let settings = Settings::simulated(ports, database.url.clone(), Secrets::random().expect("random bytes"));
    service::run(binaries().path("web").expect("web"), &["migrate"], &settings.web()).expect("it migrates");
    database
}

#[test]
fn every_table_with_a_tenant_is_behind_a_policy_that_nobody_bypasses() {
    let database = migrated();
    let tables = "select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid
                  where a.attname in ('tenant_id', 'tenant_ids') and c.relkind in ('r', 'p')
                    and c.relnamespace = 'enablebot'::regnamespace";
    assert!(database.ask(tables).parse::<u32>().expect("a number") > 35, "with the parts of turns");
    assert_eq!(database.ask(UNGUARDED), "");
    // The check finds what it looks for.
    for stray in [
        "create table stray (tenant_id text)",
        "alter table stray enable row level security; alter table stray force row level security;
         create policy own_rows on stray to enablebot_tenant using (true)",
    ] {
        database.ask(stray);
        assert_eq!(database.ask(UNGUARDED), "stray");
    }
    database.ask("drop table stray");

    let rights = "select rolname, rolsuper, rolbypassrls, rolcanlogin, (select count(*) from pg_class where relowner = r.oid)
                  from pg_roles r where rolname like 'enablebot\\_%' order by 1";
    assert_eq!(database.ask(rights), "enablebot_service|f|f|f|0\nenablebot_tenant|f|f|f|0");
    let append_only = "select role, has_column_privilege(role, 'audit_log', 'action', 'insert'),
                              has_column_privilege(role, 'audit_log', 'created_at', 'insert')
                              or has_table_privilege(role, 'audit_log', 'update, delete, truncate'),
                              has_table_privilege(role, 'audit_chains', 'insert, update, delete, truncate')
                       from unnest(array['enablebot_service', 'enablebot_tenant']) as roles (role)";
    assert_eq!(database.ask(append_only), "enablebot_service|t|f|f\nenablebot_tenant|t|f|f");
    // Supabase shows the schema public to whoever has the public key of a project.
    let shown = "select count(*), has_schema_privilege('public', 'enablebot', 'usage') from pg_class
                 where relnamespace = 'public'::regnamespace";
    assert_eq!(database.ask(shown), "0|f");
}

#[test]
fn by_no_query_of_db_a_tenant_reads_or_changes_what_is_anothers() {
    let database = migrated();
    let filling = include_str!("two_tenants.sql");
    for (tenant, number) in [(OWN, "1000000000"), (THEIRS, "2000000000")] {
        database.ask(&filling.replace("{T}", tenant).replace("{N}", number));
    }
    let tables = database.ask(
        "select relname from pg_class c join pg_attribute a on a.attrelid = c.oid
         where attname = 'tenant_id' and relkind in ('r', 'p') and not relispartition
           and relnamespace = 'enablebot'::regnamespace",
    );
    for table in tables.lines() {
        let theirs = database.ask(&format!("select count(*) from {table} where tenant_id = '{THEIRS}'"));
        assert_ne!(theirs, "0", "two_tenants.sql leaves {table} out");
    }

    let attempts = attempts();
    assert!(attempts.len() > 200, "{}", attempts.len());
    let reached = |who| {
        let told = run(&database, who, &attempts);
        let differs = |attempt: &&Attempt| {
            let told = &told[&attempt.hash];
            told.is_changed || told.rows[0] != told.rows[1]
        };
        attempts.iter().filter(differs).collect::<Vec<_>>()
    };
    // Begun for the tenant itself the same attempts succeed, but where another row would be needed.
    let own = reached(THEIRS);
    eprintln!("{} of {} attempts succeed for the tenant itself", own.len(), attempts.len());
    assert!(own.len() > 120, "only {} of {} attempts would show anything", own.len(), attempts.len());
    let others: Vec<&str> = reached(OWN).iter().map(|attempt| attempt.query.as_str()).collect();
    assert!(
        others.is_empty(),
        "{} queries reach another tenant's rows:\n{}",
        others.len(),
        others.join("\n\n")
    );
    // Nor is that because nothing would be noticed.
    database.ask("alter table usage disable row level security");
    assert!(reached(OWN).len() > 5, "they would be reached without a policy");
}

/// Each query that sqlx knows, with what it would need to reach the other tenant's rows.
fn attempts() -> Vec<Attempt> {
    let folder = workspace::root().join(".sqlx");
    let files = fs::read_dir(folder).expect("the queries").map(|entry| entry.expect("an entry").path());
    let mut attempts: Vec<_> = files
        .map(|file| {
            let described: Value =
                serde_json::from_str(&fs::read_to_string(file).expect("text")).expect("JSON");
            Attempt::new(&described)
        })
        // The next number of a sequence is nobody's.
        .filter(|attempt: &Attempt| !attempt.query.starts_with("select nextval("))
        .collect();
    attempts.sort_by(|a, b| a.hash.cmp(&b.hash));
    attempts
}

/// What came of an attempt.
#[derive(Debug, Default)]
struct Told {
    /// What was told of the other tenant's rows, and of those of nobody.
    rows: [Vec<String>; 2],
    /// Whether the other tenant's rows are others now.
    is_changed: bool,
}

/// Tries everything in transactions that are begun for this tenant and rolled back.
fn run(database: &Database, who: &str, attempts: &[Attempt]) -> BTreeMap<String, Told> {
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
    let params = [Params::of(THEIRS, 2_000_000_000), Params::of(NOWHERE, 3_000_000_000)];
    for attempt in attempts {
        script += &format!("begin; prepare q{} as {};\n", attempt.types(), attempt.query);
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
    read(&psql(database, &script), &params)
}

fn read(output: &str, params: &[Params]) -> BTreeMap<String, Told> {
    let uuid = Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}").expect("a pattern");
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
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
                // Whoever asks by an id may be told that id.
                let neutral = |line: &str| uuid.replace_all(&params[*turn].hide(line), "a uuid").into_owned();
                told.entry(hash.to_owned()).or_default().rows[*turn] = rest.lines().map(neutral).collect();
                *turn += 1;
            }
            // After an error there is no digest, and nothing was changed.
            _ if current.1 == 0 => {
                let now = rest.trim();
                told.entry(current.0.clone()).or_default().is_changed |= !now.is_empty() && now != before;
            }
            _ => {}
        }
    }
    told
}

/// Goes on after errors: a refusal is one.
fn psql(database: &Database, script: &str) -> String {
    let folder = workspace::target().join(format!("test/isolation-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("attempts.sql");
    fs::write(&file, script).expect("written");
    let mut psql = Command::new(Programs::find_or_install().expect("Postgres' programs").path("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--dbname", &database.url]);
    psql.env("PGOPTIONS", format!("-c search_path={SCHEMA},public")).arg("--file").arg(file);
    let output = psql.output().expect("psql runs");
    fs::remove_dir_all(folder).expect("removed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
