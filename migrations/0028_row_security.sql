-- No transaction reaches another tenant's rows, whatever its statements say. The services take one of two roles for each
-- transaction (db/connection.rs), which neither own the tables nor may bypass their policies: enablebot_tenant sees the one
-- tenant that the transaction was begun for, enablebot_service is for what is asked over all of them.

-- Roles belong to the whole cluster: another database of it may make them at this very moment. Whoever may not make roles
-- finds them made by somebody who may, and is a member.
do $$
declare
    _role text;
    -- From Postgres 16 on a member may not act as the role by that alone.
    _right constant text := case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end;
begin
    foreach _role in array array['enablebot_tenant', 'enablebot_service'] loop
        for _try in 1..10 loop
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
    -- The version of the schema is everybody's to read and nobody's to write.
    if to_regclass('_sqlx_migrations') is not null then
        revoke insert, update, delete on _sqlx_migrations from enablebot_service;
    end if;
    execute format('grant usage, select, update on all sequences in schema %I to enablebot_tenant, enablebot_service',
                   current_schema);
    -- A table of a later migration brings its policies, and what the tenant may do in it; a test looks for them.
    execute format('alter default privileges in schema %I grant select, insert, update, delete on tables
                    to enablebot_service', current_schema);
    execute format('alter default privileges in schema %I grant usage, select, update on sequences
                    to enablebot_tenant, enablebot_service', current_schema);
end $$;

-- Every table with a tenant, and the partitions of such.
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

-- A batch is many tenants'; one of them may add to what is to be sorted, and reads nothing of it.
alter table deliveries enable row level security;
alter table deliveries force row level security;
grant insert on deliveries to enablebot_tenant;
create policy own_events on deliveries for insert to enablebot_tenant
    with check (tenant_ids <@ array[current_setting('enablebot.tenant_id', true)]);
create policy all_rows on deliveries to enablebot_service using (true);

-- The audit log is appended to, in the order and at the time of the deeds, and nothing else: what writes its chain acts as its owner, and nobody else may.
revoke insert, update, delete on audit_log from enablebot_tenant, enablebot_service;
grant insert (tenant_id, actor, action, detail) on audit_log to enablebot_tenant, enablebot_service;
revoke insert, update, delete on audit_chains from enablebot_tenant, enablebot_service;
create policy owner on audit_log to current_user using (true);
create policy owner on audit_chains to current_user using (true);
do $$
begin
    execute format('alter function chain_audit_entry() security definer set search_path = %I, pg_temp',
                   current_schema);
end $$;

-- What a workspace's pages tell of the service that answers.
grant select on replicas to enablebot_tenant;
