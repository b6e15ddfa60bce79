-- Row-level security: no transaction reaches another tenant's rows, whatever its statements say. The services
-- take one of two roles for each transaction (db/connection.rs). Neither role owns the tables or may bypass
-- their policies: enablebot_tenant sees the one tenant that the transaction was begun for, enablebot_service
-- is for statements over all tenants.

-- Roles belong to the whole cluster: a migration of another database may create them at the same moment. A
-- login that may not create roles needs them to exist and to be a member of both.
do $$
declare
    _role text;
    -- From Postgres 16 on membership alone does not allow `set role`.
    _right constant text := case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end;
begin
    foreach _role in array array['enablebot_tenant', 'enablebot_service'] loop
        for _attempt in 1..10 loop
            begin
                if not exists (select from pg_roles where rolname = _role) then
                    execute format('create role %I nologin nosuperuser nobypassrls', _role);
                end if;
                if not pg_has_role(current_user, _role, _right) then
                    execute format('grant %I to current_user', _role);
                end if;
                exit;
            exception when duplicate_object or unique_violation or internal_error then
                perform pg_sleep(0.1);
            end;
        end loop;
    end loop;
end $$;

do $$
begin
    execute format('revoke all on schema %I from public', current_schema);
    execute format('grant usage on schema %I to enablebot_tenant, enablebot_service', current_schema);
    execute format('grant select, insert, update, delete on all tables in schema %I to enablebot_service',
                   current_schema);
    -- Everybody may read the version of the schema, and nobody may write it.
    if to_regclass('_sqlx_migrations') is not null then
        revoke insert, update, delete on _sqlx_migrations from enablebot_service;
    end if;
    execute format('grant usage, select, update on all sequences in schema %I to enablebot_tenant, enablebot_service',
                   current_schema);
    -- A later migration must create the policies of a new table and grant the tenant's rights; a test checks
    -- both.
    execute format('alter default privileges in schema %I grant select, insert, update, delete on tables
                    to enablebot_service', current_schema);
    execute format('alter default privileges in schema %I grant usage, select, update on sequences
                    to enablebot_tenant, enablebot_service', current_schema);
end $$;

-- Every table with a tenant, and the partitions of such tables: a statement may name a partition directly.
do $$
declare
    _table regclass;
begin
    for _table in
        select c.oid::regclass from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = current_schema::regnamespace and c.relkind in ('r', 'p') and a.attname = 'tenant_id'
    loop
        execute format('grant select, insert, update, delete on %s to enablebot_tenant', _table);
        execute format('alter table %s enable row level security', _table);
        execute format('alter table %s force row level security', _table);
        execute format('create policy own_rows on %s to enablebot_tenant
                        using (tenant_id = current_setting(''enablebot.tenant_id'', true))', _table);
        execute format('create policy all_rows on %s to enablebot_service using (true)', _table);
    end loop;
end $$;

-- A batch of the inbox belongs to many tenants. A tenant may add its own events and reads nothing.
alter table event_inbox enable row level security;
alter table event_inbox force row level security;
grant insert on event_inbox to enablebot_tenant;
create policy own_events on event_inbox for insert to enablebot_tenant
    with check (tenant_ids <@ array[current_setting('enablebot.tenant_id', true)]);
create policy all_rows on event_inbox to enablebot_service using (true);

-- The audit log is append-only, and Postgres sets the time and the order. Only the functions of 0002, which
-- act as the owner of the tables, write the chains or delete entries.
revoke insert, update, delete on audit_log from enablebot_tenant, enablebot_service;
grant insert (tenant_id, actor, action, detail) on audit_log to enablebot_tenant, enablebot_service;
revoke insert, update, delete on audit_chains from enablebot_tenant, enablebot_service;
create policy owner on audit_log to current_user using (true);
create policy owner on audit_chains to current_user using (true);
do $$
declare
    _function regprocedure;
begin
    execute format('alter function chain_audit_entry() security definer set search_path = %I, pg_temp',
                   current_schema);
    -- They act for any tenant, so only the service role may call them.
    foreach _function in array array['purge_audit_entries(text, interval, integer)', 'audit_segment_begin(text, integer)',
                                     'audit_segment_commit(text, bigint)']::regprocedure[] loop
        execute format('alter function %s security definer set search_path = %I, pg_temp', _function, current_schema);
        execute format('revoke execute on function %s from public', _function);
        execute format('grant execute on function %s to enablebot_service', _function);
    end loop;
end $$;

-- The pages of a workspace show the service that answers it.
grant select on instances to enablebot_tenant;
