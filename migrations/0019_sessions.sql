-- Who is signed in to the dashboard. The cookie holds what the digest is of.
create table sessions (
    session_digest bytea primary key,
    tenant_id      text not null references tenants on delete cascade,
    user_id        text not null,
    name           bytea not null,              -- sealed with the tenant's data key
    is_admin       boolean not null,            -- as Slack said at checked_at
    checked_at     timestamptz not null default now(),
    created_at     timestamptz not null default now(),
    seen_at        timestamptz not null default now()
);

create index sessions_person on sessions (tenant_id, user_id);

-- What the dashboard counts. An event comes into it as it ends, when it leaves other indexes anyway.
create index events_finished on events (tenant_id, finished_at) where outcome is not null;
