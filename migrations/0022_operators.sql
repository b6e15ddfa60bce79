-- What whoever runs the deployment sees and does.

-- Set while the tenant's questions are not answered; its own people read the reason.
alter table tenants
    add column suspended_at     timestamptz,
    add column suspended_reason text,
    add constraint tenants_suspended check ((suspended_at is null) = (suspended_reason is null));

-- When somebody was told in the thread that the workspace is suspended.
alter table threads add column suspension_told_at timestamptz;

-- An e-mail that Slack has verified, by which an operator may be named; sealed with the tenant's data key.
alter table sessions add column email bytea;

-- The processes of api and web: each notes itself now and then, and goes as it ends.
create table replicas (
    replica_id uuid primary key,
    service    text not null,
    version    text not null,
    host       text not null,
    started_at timestamptz not null default now(),
    seen_at    timestamptz not null default now(),
    facts      jsonb not null default '{}'    -- what others need to know of its settings; no secrets
);

-- Who came and went, over all tenants.
create index audit_log_installs on audit_log (created_at) where action in ('installed', 'deleted');
