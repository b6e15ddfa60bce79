-- Who may ask, what came of it, and how a workspace leaves.

alter table events rename column last_error to reason;
alter table events add column stop_requested_at timestamptz;  -- somebody pressed "Stop"
create index events_set_aside on events (tenant_id, event_id) where outcome = 'set_aside';

alter table tenants add column delete_after timestamptz;      -- null: in use; else its data goes then
create index tenants_delete_after on tenants (delete_after) where delete_after is not null;

alter table installations
    add column refresh_token       bytea,       -- sealed; null: the token lives for ever
    add column token_expires_at    timestamptz,
    add column refresh_lease       uuid,        -- names who refreshes the token just now
    add column refresh_lease_until timestamptz,
    add column disabled_reason     text,        -- the token is dead: only a new install helps
    add column disabled_at         timestamptz,
    add column problem             text,        -- what Slack last refused for how the app is set up
    add column problem_at          timestamptz;
create index installations_token_expiry on installations (token_expires_at)
    where refresh_token is not null and disabled_at is null;

-- The workspaces that an org-wide install was let into.
create table team_access (
    tenant_id  text not null references tenants on delete cascade,
    team_id    text not null,
    granted_at timestamptz not null default now(),
    primary key (tenant_id, team_id)
);

-- What Slack says of those who ask, for a day at a time.
create table people (
    tenant_id    text not null references tenants on delete cascade,
    user_id      text not null,
    origin       text,                        -- null: not asked yet
    name         bytea,                       -- sealed
    is_admin     boolean not null default false,
    checked_at   timestamptz,
    onboarded_at timestamptz,                 -- when they got their first message
    looking_at   text,                        -- the channel beside the conversation with the bot
    primary key (tenant_id, user_id)
);

create table channels (
    tenant_id        text not null references tenants on delete cascade,
    channel_id       text not null,
    external_allowed boolean not null default false,  -- people of other organisations are answered here
    primary key (tenant_id, channel_id)
);

create table feedback (
    tenant_id  text not null references tenants on delete cascade,
    event_id   text not null,
    user_id    text not null,
    positive   boolean not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, event_id, user_id)
);

alter table turns add column origin text not null default 'member';
alter table threads add column refused_at timestamptz;        -- an external person was told that this is closed

-- What nothing was done about, for a week: "why no reply?". Without the words.
create table ignored_events (
    tenant_id   text not null,
    event_id    text not null,
    channel_id  text,
    message_ts  text,
    user_id     text,
    outcome     text not null,
    reason      text not null,
    received_at timestamptz not null default now()
);
create index ignored_events_tenant on ignored_events (tenant_id, received_at);
create index ignored_events_received on ignored_events (received_at);
