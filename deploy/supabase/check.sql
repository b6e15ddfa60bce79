-- What a project of Supabase, or any Postgres, has to be like for EnableBot, after `web migrate`: a row a check, `state` is ok or
-- wrong. Reads the catalogue and changes nothing. As the owner, in the SQL editor or by
-- psql, as README.md says
with own as (
    select oid as schema, nspowner as owner from pg_namespace where nspname = 'enablebot'
),
-- Whoever has the project's public or secret key asks as one of these.
asked_as as (
    select oid, rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role', 'authenticator')
),
role as (
    select * from pg_roles where rolname = current_user
),
shown as (
    select format('%s: %s', coalesce(r.rolname, 'all roles'), split_part(c.config, '=', 2)) as setting
    from pg_db_role_setting s cross join unnest(s.setconfig) as c (config) left join pg_roles r on r.oid = s.setrole
    where c.config like 'pgrst.db\_schemas=%' and split_part(c.config, '=', 2) ~ '\menablebot\M'
),
open_to as (
    select a.rolname from asked_as a, own where has_schema_privilege(a.oid, own.schema, 'usage')
    union all
    select 'public' from own where has_schema_privilege('public', own.schema, 'usage')
),
helpers as (
    select h.name, r.oid, r.rolcanlogin or r.rolsuper or r.rolbypassrls or r.rolcreaterole as may_too_much
    from unnest(array['enablebot_tenant', 'enablebot_service']) as h (name) left join pg_roles r on r.rolname = h.name
),
unguarded as (
    select c.relname from pg_class c, own
    where c.relnamespace = own.schema and c.relkind in ('r', 'p')
      and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname in ('tenant_id', 'tenant_ids'))
      and not (c.relrowsecurity and c.relforcerowsecurity and exists (select from pg_policy p where p.polrelid = c.oid))
),
published as (
    select tablename from pg_publication_tables where pubname = 'supabase_realtime' and schemaname = 'enablebot'
),
inside as (
    select e.extname from pg_extension e, own where e.extnamespace = own.schema
),
connections as (
    select current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer as all_of_them,
           (select count(*) from pg_stat_activity where backend_type = 'client backend') as in_use
)
select check_name as "check", case when is_right then 'ok' else 'wrong' end as state, found, to_do as "if wrong"
from (
    select 1, 'server', current_setting('server_version_num')::integer >= 150000,
           'Postgres ' || current_setting('server_version')
               || case when pg_is_in_recovery() then ', a read replica' else '' end,
           'EnableBot is tried with Postgres 15 and newer: upgrade the project'
    union all
    select 2, 'role', not rolsuper and rolcreaterole and rolcreatedb and rolbypassrls,
           format('%s: superuser %s, createrole %s, createdb %s, bypassrls %s',
                  rolname, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls),
           'connect as a role like Supabase''s postgres: createrole, createdb, bypassrls, and no superuser'
    from role
    union all
    select 3, 'schema', count(*) = 1 and bool_and(pg_has_role(current_user, owner, 'usage'))
               and to_regclass('enablebot._sqlx_migrations') is not null,
           coalesce(string_agg('of ' || owner::regrole, ', '), 'none'),
           'run `web migrate` as the role of DATABASE_URL'
    from own
    union all
    select 4, 'roles of transactions',
           bool_and(oid is not null and not may_too_much and pg_has_role(current_user, oid, 'member')),
           string_agg(name || case when oid is null then ' is missing'
                                   when may_too_much then ' may log in, make roles, or pass by the policies'
                                   when not pg_has_role(current_user, oid, 'member') then ' cannot be taken'
                                   else '' end, ', ' order by name),
           'run `web migrate`; take from them what they may do too much (alter role … nologin nobypassrls nocreaterole)'
    from helpers
    union all
    select 5, 'rows of a tenant', count(*) = 0,
           coalesce('without forced row-level security: ' || string_agg(relname, ', ' order by relname), 'forced everywhere'),
           'alter table enablebot.… enable row level security, force row level security; with the policy of its migration'
    from unguarded
    union all
    select 6, 'Data API: exposed schemas', count(*) = 0, coalesce(string_agg(setting, '; '), 'enablebot is none of them'),
           'take enablebot out of Project Settings, Data API, Exposed schemas, or alter role authenticator reset pgrst.db_schemas'
    from shown
    union all
    select 7, 'Data API: roles', count(*) = 0, coalesce('may use the schema: ' || string_agg(rolname, ', '), 'none may use the schema'),
           'revoke all on schema enablebot from them'
    from open_to
    union all
    select 8, 'Realtime', count(*) = 0, coalesce('publishes ' || string_agg(tablename, ', ' order by tablename), 'publishes nothing'),
           'alter publication supabase_realtime drop table enablebot.…'
    from published
    union all
    select 9, 'extensions', count(*) = 0, coalesce('in the schema: ' || string_agg(extname, ', '), 'none in the schema; none is needed'),
           'alter extension … set schema extensions'
    from inside
    union all
    select 10, 'connections', in_use < 0.8 * all_of_them and role.rolconnlimit not between 0 and 49,
           format('%s of %s in use; the role may have %s', in_use, all_of_them,
                  case when rolconnlimit < 0 then 'all' else rolconnlimit::text end),
           'fewer replicas, a smaller DATABASE_POOL_SIZE and DATABASE_MAX_OVERFLOW, the pooler, or a larger compute size'
    from connections, role
) as checks (place, check_name, is_right, found, to_do)
order by place;
