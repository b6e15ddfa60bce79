-- A queue's life around the reply: what failed, who has how much weight, and what is old.

-- The last failed tries, oldest first, each {"at", "attempt", "reason"}; never the words.
alter table events add column attempts_log jsonb not null default '[]';

-- When an event of the thread came last: by it an idle thread without turns is forgotten some day.
alter table threads add column used_at timestamptz not null default now();

-- A tenant of weight w stands 1/w of the distance behind its own last place, and so gets w times as many.
alter table tenants add column weight integer not null default 1 check (weight between 1 and 100);

create function place_distance(_tenant_id text) returns bigint
language sql stable
as $$
    select 10000 / coalesce((select weight from tenants where tenant_id = _tenant_id), 1)
$$;

-- Places given so far were 1 apart.
update threads set virtual_start = virtual_start * 10000 where state <> 'idle';
select setval('virtual_clock', last_value * 10000) from virtual_clock;

-- A row of the queue is written several times within seconds. With room on its page a try or a step of the reply
-- touches no index; a thread's every change is in an index, and room would not help. What is dead is cleaned up before
-- the tables grow. `cargo xtask bench day` measures both.
alter table events set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
alter table replies set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
alter table threads set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- As before, but for the distance and the time of use. Called by db::events::enqueue; the arrays have an element an event.

create or replace function enqueue_events(
    _tenant_ids text[], _event_ids text[], _kinds text[], _channel_ids text[], _thread_tss text[],
    _message_tss text[], _client_msg_ids text[], _user_ids text[], _bodies bytea[], _addressed boolean[],
    out relevant_count bigint, out stored_count bigint
)
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
    _stored_ids text[];
begin
    -- A message of a thread counts where the bot takes part, or is just being asked to. That it refused somebody there is
    -- no part in it.
    if false = any (_addressed) then
        _addressed := array(
            select i.addressed
                or exists (select from threads t where t.tenant_id = i.tenant_id
                           and t.channel_id = i.channel_id and t.thread_ts = i.thread_ts
                           and (t.refused_at is null
                                or exists (select from turns s where s.tenant_id = t.tenant_id
                                           and s.channel_id = t.channel_id and s.thread_ts = t.thread_ts)))
                or exists (select from unnest(_tenant_ids, _channel_ids, _thread_tss, _addressed)
                               as o (tenant_id, channel_id, thread_ts, addressed)
                           where o.addressed and o.tenant_id = i.tenant_id
                           and o.channel_id = i.channel_id and o.thread_ts = i.thread_ts)
            from unnest(_tenant_ids, _channel_ids, _thread_tss, _addressed)
                with ordinality as i (tenant_id, channel_id, thread_ts, addressed, place)
            order by i.place);
    end if;
    relevant_count := cardinality(array_positions(_addressed, true));

    with stored as (
        -- What is known under one of the three keys is dropped here.
        insert into events (tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id, user_id,
                            body)
        select i.tenant_id, i.event_id, i.kind, i.channel_id, i.thread_ts, i.message_ts, i.client_msg_id,
               i.user_id, i.body
        from unnest(_tenant_ids, _event_ids, _kinds, _channel_ids, _thread_tss, _message_tss, _client_msg_ids,
                    _user_ids, _bodies, _addressed)
            as i (tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id, user_id, body,
                  relevant)
        where i.relevant
        on conflict do nothing
        returning tenant_id, channel_id, thread_ts, event_id
    ), touched as (
        select distinct tenant_id, channel_id, thread_ts from stored
    ), served as materialized (
        -- New places are behind the clock, and behind the tenant's threads that are ready. Looked up once a tenant.
        select tenant_id, place_distance(tenant_id) as distance, greatest(
                   (select last_value from virtual_clock),
                   (select max(virtual_start) from threads t where t.tenant_id = n.tenant_id and state = 'ready')
               ) as last_start
        from (select distinct tenant_id from touched) as n
    ), woken as (
        -- Touches each thread's row even if it is busy: whoever lets it go waits for this transaction then, and looks
        -- again. So nothing is stranded.
        insert into threads (tenant_id, channel_id, thread_ts, state, virtual_start)
        select tenant_id, channel_id, thread_ts, 'ready',
               last_start + distance
                   * row_number() over (partition by tenant_id order by channel_id, thread_ts)
        from touched join served using (tenant_id)
        order by tenant_id, channel_id, thread_ts
        on conflict (tenant_id, channel_id, thread_ts) do update set
            used_at = excluded.used_at,
            state = case threads.state when 'idle' then 'ready' else threads.state end,
            virtual_start = case threads.state when 'idle' then excluded.virtual_start
                                               else threads.virtual_start end
    )
    select count(*), array_agg(event_id) from stored into stored_count, _stored_ids;

    if stored_count > 0 then
        perform pg_notify('enablebot_events', '');
    end if;

    -- A re-delivery finds its own event; what else was dropped is noted.
    if stored_count < cardinality(_event_ids) then
        insert into ignored_events (tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason)
        select i.tenant_id, i.event_id, i.channel_id, i.message_ts, i.user_id,
               case when i.relevant then 'duplicate' else 'not_addressed' end,
               case when i.relevant then 'the same message came as another event'
                                    else 'a thread in which the bot takes no part' end
        from unnest(_tenant_ids, _event_ids, _channel_ids, _message_tss, _user_ids, _addressed)
            as i (tenant_id, event_id, channel_id, message_ts, user_id, relevant)
        where i.event_id <> all (coalesce(_stored_ids, '{}'))
          and not exists (select from events e
                          where e.tenant_id = i.tenant_id and e.channel_id = i.channel_id
                            and e.message_ts = i.message_ts and e.event_id = i.event_id)
          and i.message_ts is not null;
    end if;
end $$;
