//! Faults of a deployment: the cause of each, and its repair.

use simulator::{InjectedFault, Simulator};

/// A fault: the check that reports it, a word of the report, and its cause.
pub(super) struct DoctorFault {
    pub(super) check: &'static str,
    pub(super) expected_word: &'static str,
    pub(super) cause: FaultCause,
}

/// A cause that can be applied and removed. `{pooler}` and `{database}` are filled in.
pub(super) enum FaultCause {
    /// Variables of one env file, or of both if no file is given.
    Variables(&'static [(&'static str, &'static str)]),
    Sql(&'static str, &'static str),
    Redis(&'static [&'static str], &'static [&'static str]),
    Slack(fn(&Simulator), fn(&Simulator)),
}

const fn fault(check: &'static str, word: &'static str, by: FaultCause) -> DoctorFault {
    DoctorFault { check, expected_word: word, cause: by }
}

pub(super) const DOCTOR_FAULTS: &[DoctorFault] = &[
    fault(
        "variables of web",
        "KEY_ROTATION_INTERVAL",
        FaultCause::Variables(&[(".env.web/KEY_ROTATION_INTERVAL", "soon")]),
    ),
    fault(
        "variables of api",
        "MAX_CONCURRENT_REPLIES",
        FaultCause::Variables(&[(".env.api/MAX_CONCURRENT_REPLIES", "many")]),
    ),
    fault(
        "spelling",
        "OPENAI_FALBACK_MODELS",
        FaultCause::Variables(&[(".env.api/OPENAI_FALBACK_MODELS", "gpt-5-nano")]),
    ),
    fault(
        "session secret",
        "can be guessed",
        FaultCause::Variables(&[("SESSION_SECRET", "0123456789-0123456789-0123456789")]),
    ),
    fault(
        "encryption keys",
        "the first is of T0ACME",
        FaultCause::Variables(&[("ENCRYPTION_KEYS", "dev:q83vEjRWeJq83vEjRWeJqk1uT2pXcZbLd5sGhYwKf0A=")]),
    ),
    fault("slack app", "bad_client_secret", FaultCause::Variables(&[("SLACK_CLIENT_SECRET", "not-the-apps")])),
    fault("model", "refused the key (401)", FaultCause::Variables(&[("OPENAI_API_KEY", "sk-unknown")])),
    fault("redis", "cannot connect", FaultCause::Variables(&[("REDIS_URL", "redis://127.0.0.1:1")])),
    fault("direct connection", "points to a pooler", FaultCause::Variables(&[("DATABASE_URL", "{pooler}")])),
    fault(
        "redis",
        "noeviction",
        FaultCause::Redis(&["CONFIG", "SET", "maxmemory", "104857600"], &["CONFIG", "SET", "maxmemory", "0"]),
    ),
    fault(
        "database",
        "synchronous_commit is off",
        FaultCause::Sql(
            "alter database {database} set synchronous_commit = off",
            "alter database {database} reset synchronous_commit",
        ),
    ),
    fault(
        "migrations",
        "1 migration(s) behind",
        FaultCause::Sql(
            "create table public.kept as select * from _sqlx_migrations order by version desc limit 1;
             delete from _sqlx_migrations where version = (select version from public.kept)",
            "insert into _sqlx_migrations select * from public.kept; drop table public.kept",
        ),
    ),
    fault(
        "schema",
        "open to role anon",
        FaultCause::Sql(
            "create role anon; grant usage on schema enablebot to anon",
            "revoke usage on schema enablebot from anon; drop role anon",
        ),
    ),
    fault(
        "row-level security",
        "chat_memory does not isolate tenants",
        FaultCause::Sql(
            "alter table chat_memory no force row level security",
            "alter table chat_memory force row level security",
        ),
    ),
    fault(
        "connections",
        "replica(s) keep",
        FaultCause::Sql(
            "update instances set facts = facts || '{\"connections_kept\": 500}'",
            "update instances set facts = facts || '{\"connections_kept\": 20}'",
        ),
    ),
    fault(
        "clock",
        "s behind Slack",
        FaultCause::Slack(|slack| slack.set_clock_offset(600), |slack| slack.set_clock_offset(0)),
    ),
    fault(
        "slack scopes",
        "T0ACME lacks app_mentions:read",
        FaultCause::Sql(
            "create table public.granted as select scopes from installations;
             update installations set scopes = 'chat:write'",
            "update installations set scopes = (select scopes from public.granted); drop table public.granted",
        ),
    ),
    fault(
        "slack tokens",
        "account_inactive",
        FaultCause::Slack(|slack| slack.inject_fault("auth.test", InjectedFault::Error("account_inactive"), 1), |_| {}),
    ),
    fault(
        "replicas",
        "last heartbeat of api at lost was 1",
        FaultCause::Sql(
            "insert into instances (instance_id, service, version, host, seen_at, facts)
             select gen_random_uuid(), service, version, 'lost', now() - interval '3 minutes', facts
             from instances where service = 'api'",
            "delete from instances where host = 'lost'",
        ),
    ),
    fault(
        "replicas",
        "several versions are running",
        FaultCause::Sql(
            "update instances set started_at = now() - interval '1 hour';
             update instances set version = '0.0.1' where service = 'api'",
            "update instances set version = (select version from instances where service = 'web' limit 1)",
        ),
    ),
    fault(
        "queue",
        "1 event(s) queued",
        // The event is in no thread, so that no worker takes it.
        FaultCause::Sql(
            "insert into events (tenant_id, event_id, kind, channel_id, thread_ts, user_id, received_at)
             values ('T0ACME', 'EvOLD', 'message', 'C1', '1.0', 'U1', now() - interval '20 minutes')",
            "delete from events where event_id = 'EvOLD'",
        ),
    ),
    fault(
        "dead letters",
        "1 event(s) failed for good",
        FaultCause::Sql(
            "insert into events (tenant_id, event_id, kind, channel_id, thread_ts, user_id, outcome, finished_at)
             values ('T0ACME', 'EvASIDE', 'message', 'C1', '1.0', 'U1', 'set_aside', now())",
            "delete from events where event_id = 'EvASIDE'",
        ),
    ),
    fault(
        "backups",
        "the last backup was taken 72 h ago",
        FaultCause::Sql(
            "update backups set taken_at = taken_at - interval '72 hours'",
            "update backups set taken_at = taken_at + interval '72 hours'",
        ),
    ),
];
