//! What can be wrong with a deployment, how it comes to be, and how it is mended.

use simulator::{Fault, Simulator};

/// A fault: the check that names it, a word that it says, and what brings it about.
pub(super) struct Broken {
    pub(super) check: &'static str,
    pub(super) word: &'static str,
    pub(super) by: By,
}

/// What brings it about, and what ends it. `{pooler}` and `{database}` are filled in.
pub(super) enum By {
    /// Variables of one file, or without a file of both.
    Variables(&'static [(&'static str, &'static str)]),
    Sql(&'static str, &'static str),
    Redis(&'static [&'static str], &'static [&'static str]),
    Slack(fn(&Simulator), fn(&Simulator)),
}

const fn broken(check: &'static str, word: &'static str, by: By) -> Broken {
    Broken { check, word, by }
}

pub(super) const FAULTS: &[Broken] = &[
    broken(
        "variables of web",
        "KEY_ROTATION_INTERVAL",
        By::Variables(&[(".env.web/KEY_ROTATION_INTERVAL", "soon")]),
    ),
    broken(
        "variables of api",
        "MAX_CONCURRENT_REPLIES",
        By::Variables(&[(".env.api/MAX_CONCURRENT_REPLIES", "many")]),
    ),
    broken(
        "spelling",
        "OPENAI_FALBACK_MODELS",
        By::Variables(&[(".env.api/OPENAI_FALBACK_MODELS", "gpt-5-nano")]),
    ),
    broken(
        "session secret",
        "can be guessed",
        By::Variables(&[("SESSION_SECRET", "0123456789-0123456789-0123456789")]),
    ),
    broken(
        "encryption keys",
        "the first is of T0ACME",
        By::Variables(&[("ENCRYPTION_KEYS", "dev:q83vEjRWeJq83vEjRWeJqk1uT2pXcZbLd5sGhYwKf0A=")]),
    ),
    broken("slack app", "bad_client_secret", By::Variables(&[("SLACK_CLIENT_SECRET", "not-the-apps")])),
    broken("model", "refused the key (401)", By::Variables(&[("OPENAI_API_KEY", "sk-unknown")])),
    broken("redis", "it is not reached", By::Variables(&[("REDIS_URL", "redis://127.0.0.1:1")])),
    broken("way past the pooler", "leads to a pooler", By::Variables(&[("DATABASE_URL", "{pooler}")])),
    broken(
        "redis",
        "noeviction",
        By::Redis(&["CONFIG", "SET", "maxmemory", "104857600"], &["CONFIG", "SET", "maxmemory", "0"]),
    ),
    broken(
        "database",
        "synchronous_commit is off",
        By::Sql(
            "alter database {database} set synchronous_commit = off",
            "alter database {database} reset synchronous_commit",
        ),
    ),
    broken(
        "migrations",
        "1 migration(s) behind",
        By::Sql(
            "create table public.kept as select * from _sqlx_migrations order by version desc limit 1;
             delete from _sqlx_migrations where version = (select version from public.kept)",
            "insert into _sqlx_migrations select * from public.kept; drop table public.kept",
        ),
    ),
    broken(
        "schema",
        "open to role anon",
        By::Sql(
            "create role anon; grant usage on schema enablebot to anon",
            "revoke usage on schema enablebot from anon; drop role anon",
        ),
    ),
    broken(
        "row-level security",
        "turns is not held",
        By::Sql(
            "alter table turns no force row level security",
            "alter table turns force row level security",
        ),
    ),
    broken(
        "connections",
        "replica(s) keep",
        By::Sql(
            "update replicas set facts = facts || '{\"connections_kept\": 500}'",
            "update replicas set facts = facts || '{\"connections_kept\": 20}'",
        ),
    ),
    broken(
        "clock",
        "s behind that of Slack",
        By::Slack(|slack| slack.set_clock_ahead(600), |slack| slack.set_clock_ahead(0)),
    ),
    broken(
        "slack scopes",
        "T0ACME lacks app_mentions:read",
        By::Sql(
            "create table public.granted as select scopes from installations;
             update installations set scopes = 'chat:write'",
            "update installations set scopes = (select scopes from public.granted); drop table public.granted",
        ),
    ),
    broken(
        "slack tokens",
        "account_inactive",
        By::Slack(|slack| slack.fail("auth.test", Fault::Error("account_inactive"), 1), |_| {}),
    ),
    broken(
        "replicas",
        "api at lost was last heard of 1",
        By::Sql(
            "insert into replicas (replica_id, service, version, host, seen_at, facts)
             select gen_random_uuid(), service, version, 'lost', now() - interval '3 minutes', facts
             from replicas where service = 'api'",
            "delete from replicas where host = 'lost'",
        ),
    ),
    broken(
        "replicas",
        "several versions run",
        By::Sql(
            "update replicas set started_at = now() - interval '1 hour';
             update replicas set version = '0.0.1' where service = 'api'",
            "update replicas set version = (select version from replicas where service = 'web' limit 1)",
        ),
    ),
    broken(
        "queue",
        "1 event(s) wait",
        // In no thread, so that nobody takes it.
        By::Sql(
            "insert into events (tenant_id, event_id, kind, channel_id, thread_ts, user_id, received_at)
             values ('T0ACME', 'EvOLD', 'message', 'C1', '1.0', 'U1', now() - interval '20 minutes')",
            "delete from events where event_id = 'EvOLD'",
        ),
    ),
    broken(
        "set aside",
        "1 event(s) were set aside",
        By::Sql(
            "insert into events (tenant_id, event_id, kind, channel_id, thread_ts, user_id, outcome, finished_at)
             values ('T0ACME', 'EvASIDE', 'message', 'C1', '1.0', 'U1', 'set_aside', now())",
            "delete from events where event_id = 'EvASIDE'",
        ),
    ),
    broken(
        "backups",
        "the last was taken 72 h ago",
        By::Sql(
            "update backups set taken_at = taken_at - interval '72 hours'",
            "update backups set taken_at = taken_at + interval '72 hours'",
        ),
    ),
];
