-- The operation of the deployment.

-- The running processes of api and web. Each process updates its row regularly and deletes it when it ends.
create table instances (
    instance_id uuid primary key,
    service     text not null,
    version     text not null,
    host        text not null,
    started_at  timestamptz not null default now(),
    seen_at     timestamptz not null default now(),
    facts       jsonb not null default '{}'   -- what others need to know about its settings; no secrets
);

-- The backups that were taken: deploy/backup/backup.sh adds a row when a dump has reached its storage, and
-- `web doctor` reads the newest.
create table backups (
    taken_at timestamptz primary key default now(),
    dump     text not null,
    bytes    bigint not null
);
