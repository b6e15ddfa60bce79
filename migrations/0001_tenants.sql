-- Who uses EnableBot, and how it was installed there.

create table tenants (
    tenant_id  text primary key,              -- E… of an org-wide install, else T…
    name       text not null,
    created_at timestamptz not null default now()
);

-- A data key a tenant, wrapped by a master key of ENCRYPTION_KEYS. One is current, older ones still open.
create table encryption_keys (
    key_id        uuid primary key,
    tenant_id     text not null references tenants on delete cascade,
    master_key_id text not null,
    wrapped_key   bytea not null,
    created_at    timestamptz not null default now(),
    retired_at    timestamptz
);

create unique index encryption_keys_current on encryption_keys (tenant_id) where retired_at is null;

create table installations (
    tenant_id     text primary key references tenants on delete cascade,
    team_id       text,                       -- null: org-wide
    enterprise_id text,
    app_id        text not null,
    bot_user_id   text not null,
    bot_token     bytea not null,             -- sealed with the tenant's data key
    scopes        text not null,
    installed_by  text not null,
    installed_at  timestamptz not null default now()
);
