-- Keys for POST /api/chat. A key is shown once, when it is made; this is what it is known by after that.
create table api_keys (
    key_id       uuid primary key,
    tenant_id    text not null references tenants on delete cascade,
    name         text not null,
    digest       bytea not null unique,       -- SHA-256 of the key: so many random bits need nothing slower
    hint         text not null,               -- its last four characters
    scopes       text[] not null,
    created_by   text not null,
    created_at   timestamptz not null default now(),
    last_used_at timestamptz,                 -- noted once a minute
    revoked_at   timestamptz
);

create index api_keys_tenant on api_keys (tenant_id, created_at desc);

-- Conversations in which an answer is being made just now. What was said in them is in turns, in the channel "api".
create table chat_leases (
    tenant_id       text not null references tenants on delete cascade,
    conversation_id text not null,
    lease           uuid not null,            -- names who makes the answer
    leased_until    timestamptz not null,
    primary key (tenant_id, conversation_id)
);
