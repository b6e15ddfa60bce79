-- What was said, what it cost, and what people thought of it.

create sequence chat_message_id;

-- The bot's memory of its threads, encrypted: Slack's own history can be read only once a minute. In 16
-- partitions by tenant. The same row-level security holds for the table and for each partition (0007).
create table chat_memory (
    tenant_id  text not null references tenants on delete cascade,
    channel_id text not null,
    thread_ts  text not null,
    message_id bigint not null default nextval('chat_message_id'),
    role       text not null check (role in ('user', 'assistant')),
    user_id    text not null,
    origin     text not null default 'member',
    text       bytea not null,                -- encrypted
    created_at timestamptz not null default now(),
    seq        bigint,                        -- the event that the message belongs to
    primary key (tenant_id, channel_id, thread_ts, message_id)
) partition by hash (tenant_id);

do $$
begin
    for remainder in 0..15 loop
        execute format(
            'create table chat_memory_%s partition of chat_memory for values with (modulus 16, remainder %s)',
            remainder, remainder);
    end loop;
end $$;

-- Retention deletes from the oldest message on.
create index chat_memory_created_at on chat_memory (tenant_id, created_at, message_id);

-- A row per question that ended: its outcome, its duration and its cost, in the model's own count. It
-- outlives the event.
create table usage (
    seq               bigint primary key,
    tenant_id         text not null references tenants on delete cascade,
    user_id           text not null,
    model             text not null,
    prompt_tokens     bigint not null,
    completion_tokens bigint not null,
    created_at        timestamptz not null default now(),
    outcome           text not null default 'answered',
    reason            text,
    source            text not null default 'slack',
    event_id          text,
    channel_id        text,
    thread_ts         text,
    asked_at          timestamptz,
    first_token_ms    integer,                -- from the question to the first token of the reply
    total_ms          integer,                -- from the question to the end of the reply
    cost_micros       bigint not null default 0 -- millionths of a dollar
);

create index usage_user on usage (tenant_id, user_id, created_at);
create index usage_thread on usage (tenant_id, channel_id, thread_ts);
-- The cost of the month is read before each model call, from the index alone.
create index usage_tenant_cost on usage (tenant_id, created_at) include (cost_micros);

-- Money that is held for replies in progress, if the workspace has a budget. It is taken before the model is
-- called and replaced by the real cost afterwards, so that parallel replies together cannot exceed the
-- budget. There are no foreign keys: a transaction that reserves locks the row of settings first, and a
-- transaction that deletes the tenant or changes its settings locks the row of tenants first.
create table reservations (
    seq           bigint primary key,         -- of the question; a question of the API has one too, but no event
    tenant_id     text not null,
    user_id       text not null,
    -- The calls that are not booked yet, the current one at its maximum.
    cost_micros   bigint not null check (cost_micros >= 0),
    model         text,                       -- of the current call; null between two calls
    prompt_tokens bigint not null default 0,  -- the least that the current call costs if its process dies
    prompt_micros bigint not null default 0,
    expires_at    timestamptz                 -- null: it ends with the event
);

create index reservations_tenant on reservations (tenant_id);
create index reservations_expiry on reservations (expires_at) where expires_at is not null;

create table feedback (
    tenant_id  text not null references tenants on delete cascade,
    event_id   text not null,
    user_id    text not null,
    positive   boolean not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, event_id, user_id)
);

create index feedback_created_at on feedback (tenant_id, created_at);
create index feedback_user on feedback (tenant_id, user_id, created_at);

-- Keys for POST /api/chat. A key is shown once, when it is created; afterwards only its digest and its hint
-- are known.
create table api_keys (
    key_id       uuid primary key,
    tenant_id    text not null references tenants on delete cascade,
    name         text not null,
    digest       bytea not null unique,       -- SHA-256 of the key: a random key needs no slower hash
    hint         text not null,               -- its last four characters
    scopes       text[] not null,
    created_by   text not null,
    created_at   timestamptz not null default now(),
    last_used_at timestamptz,                 -- updated at most once a minute
    revoked_at   timestamptz
);

create index api_keys_tenant on api_keys (tenant_id, created_at desc);

-- Conversations of the API in which a reply is being made. Their messages are in chat_memory, in the channel
-- "api".
create table chat_leases (
    tenant_id       text not null references tenants on delete cascade,
    conversation_id text not null,
    lease           uuid not null,            -- names the request that makes the reply
    leased_until    timestamptz not null,
    primary key (tenant_id, conversation_id)
);
