-- Moves what earlier versions made in public into the schema enablebot. Only where public is known to hold this project's
-- tables, and not another's: by its first migration.
do $$
declare
    _name text;
begin
    perform pg_advisory_xact_lock(hashtext('enablebot schema'));
    if to_regclass('enablebot._sqlx_migrations') is not null or to_regclass('public._sqlx_migrations') is null
        or to_regclass('public.encryption_keys') is null then
        return;
    end if;
    -- By itself: it is planned only where there is such a table.
    if not exists (select from public._sqlx_migrations where version = 1 and description = 'tenants') then
        return;
    end if;
    create schema if not exists enablebot;
    foreach _name in array array[
        '_sqlx_migrations', 'api_keys', 'audit_chains', 'audit_log', 'channels', 'chat_leases', 'deliveries',
        'encryption_keys', 'events', 'exports', 'feedback', 'ignored_events', 'installations', 'oauth_states', 'people',
        'replicas', 'replies', 'reservations', 'sessions', 'settings', 'team_access', 'tenants', 'threads', 'turns',
        'usage'
    ] || array(select 'turns_' || n from generate_series(0, 15) as n) loop
        execute format('alter table if exists public.%I set schema enablebot', _name);
    end loop;
    foreach _name in array array['virtual_clock', 'turn_id'] loop
        execute format('alter sequence if exists public.%I set schema enablebot', _name);
    end loop;
    for _name in
        select oid::regprocedure::text from pg_proc
        where pronamespace = 'public'::regnamespace and proname in (
            'audit_entry_hash', 'chain_audit_entry', 'enqueue_events', 'installed_keys', 'overview_mark', 'overviews',
            'place_distance', 'sort_deliveries', 'store_delivery')
    loop
        execute 'alter function ' || _name || ' set schema enablebot';
    end loop;
end $$;
