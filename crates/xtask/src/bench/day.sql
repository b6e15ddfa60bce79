-- A day of the queue in fast forward, as `api` writes it: stored, claimed, tried, answered, let go, purged.

create procedure churn(_first integer, _last integer, _kept integer)
language plpgsql
as $$
declare
    _size constant integer := 50;
    _body constant bytea := (select string_agg(sha256(n::text::bytea), '') from generate_series(1, 14) as n);
begin
    for _at in _first .. _last by _size loop
        perform inbox_append(
            '{}', '{}',
            array_agg('T0ACME'::text), array_agg('Ev' || n), array_agg('message'::text), array_agg('D' || n % 200),
            array_agg((n % 20000)::text), array_agg(n::text), array_agg('c' || n), array_agg('U' || n % 200),
            string_agg(_body, ''), array_agg(1 + (n - _at) * length(_body)), array_agg(length(_body)), array_agg(true))
        from generate_series(_at, _at + _size - 1) as n;
        commit;
        perform inbox_drain(1);
        commit;
        update threads set state = 'leased', lease_token = gen_random_uuid(), wake_at = now() + interval '6 seconds'
            where state = 'ready';
        commit;
        update events set attempts = attempts + 1 where outcome is null;
        commit;
        insert into replies (seq, tenant_id, posting_since)
            select seq, tenant_id, now() from events where outcome is null;
        commit;
        update replies r set posting_since = null, message_ts = '1.2' from events e
            where e.seq = r.seq and e.outcome is null;
        update threads set wake_at = now() + interval '6 seconds' where state = 'leased';
        commit;
        update replies r set text = _body from events e where e.seq = r.seq and e.outcome is null;
        commit;
        update replies r set text = null from events e where e.seq = r.seq and e.outcome is null;
        update events set outcome = 'answered', finished_at = now(), body = null where outcome is null;
        commit;
        update threads set state = 'idle', lease_token = null, wake_at = null where state = 'leased';
        commit;
        delete from events where seq in (
            select seq from events where seq <= (select max(seq) from events) - _kept order by seq limit 1000);
        commit;
    end loop;
end $$;

-- What autovacuum would clean up by now; the benchmark does it, since a day passes faster than autovacuum looks.
create view vacuum_due as
    select s.relname from pg_stat_user_tables s join pg_class c on c.oid = s.relid
    cross join lateral (
        select max(option_value) filter (where option_name = 'autovacuum_vacuum_threshold') as threshold,
               max(option_value) filter (where option_name = 'autovacuum_vacuum_scale_factor') as scale
        from pg_options_to_table(c.reloptions)) as options
    where s.relname in ('events', 'threads', 'replies')
      and n_dead_tup > coalesce(threshold::float8, 50) + coalesce(scale::float8, 0.2) * greatest(reltuples, 0);
