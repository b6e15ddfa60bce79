-- Downloads of everything of a workspace: who took one, and how far it is.

create table exports (
    export_id   uuid primary key,
    tenant_id   text not null references tenants on delete cascade,
    started_by  text not null,
    rows_total  bigint not null,              -- as it was counted at the start
    rows_done   bigint not null default 0,
    started_at  timestamptz not null default now(),
    moved_at    timestamptz not null default now(), -- when rows_done was set last
    finished_at timestamptz,
    failed      text                          -- why it broke off, if it did
);

create index exports_tenant on exports (tenant_id, started_at desc);
