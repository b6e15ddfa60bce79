-- The workspaces that use EnableBot: their installation, their people and their settings.

create table tenants (
    tenant_id        text primary key,        -- E… for an org-wide install, otherwise T…
    name             text not null,
    created_at       timestamptz not null default now(),
    delete_after     timestamptz,             -- null: in use; otherwise its data is deleted then
    weight           integer not null default 1 check (weight between 1 and 100), -- its share of the queue
    -- Set while an operator has suspended the tenant. Its own people can read the reason.
    suspended_at     timestamptz,
    suspended_reason text,
    constraint tenants_suspended check ((suspended_at is null) = (suspended_reason is null))
);

create index tenants_delete_after on tenants (delete_after) where delete_after is not null;

-- Finds an active tenant by the id of its Slack team. A tenant that was uninstalled and waits for its
-- deletion is not in the index; suspended_at says whether an active tenant is suspended.
create index idx_tenants_team_id_status on tenants (tenant_id, suspended_at) where delete_after is null;

-- The data keys of a tenant, wrapped by a master key of ENCRYPTION_KEYS. One key is current. Retired keys
-- still open older values.
create table encryption_keys (
    key_id        uuid primary key,
    tenant_id     text not null references tenants on delete cascade,
    master_key_id text not null,
    wrapped_key   bytea not null,
    created_at    timestamptz not null default now(),
    retired_at    timestamptz
);

create unique index encryption_keys_current on encryption_keys (tenant_id) where retired_at is null;
-- Retired keys that still open something: their rotation is running or was interrupted.
create index encryption_keys_retired on encryption_keys (tenant_id) where retired_at is not null;

create table installations (
    tenant_id           text primary key references tenants on delete cascade,
    team_id             text,                 -- null: org-wide
    enterprise_id       text,
    app_id              text not null,
    bot_user_id         text not null,
    bot_token           bytea not null,       -- encrypted with the tenant's data key
    scopes              text not null,
    installed_by        text not null,
    installed_at        timestamptz not null default now(),
    refresh_token       bytea,                -- encrypted; null: the token never expires
    token_expires_at    timestamptz,
    refresh_lease       uuid,                 -- names the process that refreshes the token now
    refresh_lease_until timestamptz,
    disabled_reason     text,                 -- set when the token is dead: only a new install helps
    disabled_at         timestamptz,
    problem             text,                 -- the last request that Slack refused because of the app's configuration
    problem_at          timestamptz
);

create index installations_token_expiry on installations (token_expires_at)
    where refresh_token is not null and disabled_at is null;

-- The data keys that new values of these tenants are encrypted with. A tenant without an installation has
-- none. A function, because a session keeps the plans of a function: through a transaction pooler every other
-- statement is parsed and planned again, which would be most of its cost. Called by db::keys::list_active.
create function active_data_keys(_tenant_ids text[])
returns table (tenant_id text, key_id uuid, master_key_id text, wrapped_key bytea)
language plpgsql stable
as $$
#variable_conflict use_column
begin
    return query
        select k.tenant_id, k.key_id, k.master_key_id, k.wrapped_key
        from encryption_keys k join installations i on i.tenant_id = k.tenant_id
        where k.tenant_id = any (_tenant_ids) and k.retired_at is null;
end $$;

-- Installs in progress. Only digests are stored: a reader of this table cannot finish another person's
-- install.
create table oauth_states (
    state_digest   bytea primary key,
    browser_digest bytea not null,
    expires_at     timestamptz not null
);

create index oauth_states_expiry on oauth_states (expires_at);

-- The workspaces that an org-wide install may work in.
create table team_access (
    tenant_id  text not null references tenants on delete cascade,
    team_id    text not null,
    granted_at timestamptz not null default now(),
    primary key (tenant_id, team_id)
);

-- What Slack says about the people who ask, kept for a day, and their profiles.
create table people (
    tenant_id         text not null references tenants on delete cascade,
    user_id           text not null,
    origin            text,                   -- null: Slack was not asked yet
    name              bytea,                  -- encrypted
    is_admin          boolean not null default false,
    checked_at        timestamptz,
    onboarded_at      timestamptz,            -- when they got their first message
    viewed_channel_id text,                   -- the channel that is open beside the conversation with the bot
    profile           bytea,                  -- encrypted; what the prompt says about the person, from Slack
    profile_override  bytea,                  -- encrypted; the same, as it was set here
    primary key (tenant_id, user_id)
);

create table channels (
    tenant_id        text not null references tenants on delete cascade,
    channel_id       text not null,
    external_allowed boolean not null default false,  -- the bot answers people of other organisations here
    primary key (tenant_id, channel_id)
);

create table settings (
    tenant_id          text primary key references tenants on delete cascade,
    body               bytea not null,        -- encrypted; models::Settings as JSON
    memory_days        integer check (memory_days > 0), -- a copy of the setting, for the job that deletes old messages
    model_key          bytea,                 -- encrypted; the workspace's own key for the model
    model_key_hint     text,                  -- its last characters
    budget_notified_at timestamptz,           -- when the admins were last warned that the budget is nearly spent
    changed_by         text not null,
    changed_at         timestamptz not null default now()
);

create index settings_memory_days on settings (tenant_id) where memory_days is not null;

-- Tells every process that caches a workspace about each committed change, including one that is made by
-- hand.
create function notify_tenant_change() returns trigger
language plpgsql
as $$
begin
    perform pg_notify('enablebot_changes', coalesce(new.tenant_id, old.tenant_id));
    return null;
end $$;

create trigger notify_tenant_change after insert or update or delete on tenants
    for each row execute function notify_tenant_change();
create trigger notify_tenant_change after insert or update or delete on installations
    for each row execute function notify_tenant_change();
-- budget_notified_at is not cached.
create trigger notify_tenant_change after insert or delete or update of body, model_key on settings
    for each row execute function notify_tenant_change();
