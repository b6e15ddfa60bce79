-- The bodies of a batch come one behind the other in one literal: as the elements of an array Postgres reads each of
-- their digits twice more, which was a fifth of what an acknowledgement cost it. The release before this one still calls
-- store_delivery with an array, and what it stores is sorted too.

alter table deliveries
    alter column bodies drop not null,
    add column joined_bodies bytea,
    add column body_starts   integer[],         -- from 1
    add column body_sizes    integer[],
    alter column joined_bodies set storage external,
    alter column body_starts set storage external,
    alter column body_sizes set storage external;

-- As in 0015, for bodies that are joined. Called by db::deliveries.

create function store_delivery(
    _key_tenant_ids text[], _key_ids uuid[],
    _tenant_ids text[], _event_ids text[], _kinds text[], _channel_ids text[], _thread_tss text[],
    _message_tss text[], _client_msg_ids text[], _user_ids text[],
    _joined_bodies bytea, _body_starts integer[], _body_sizes integer[], _addressed boolean[]
)
returns boolean
language plpgsql
as $$
begin
    if exists (select from unnest(_key_tenant_ids, _key_ids) as sealed (tenant_id, key_id)
               where not exists (select from encryption_keys k join installations i on i.tenant_id = k.tenant_id
                                 where k.tenant_id = sealed.tenant_id and k.key_id = sealed.key_id
                                   and k.retired_at is null)) then
        return false;
    end if;
    insert into deliveries (event_count, tenant_ids, event_ids, kinds, channel_ids, thread_tss, message_tss,
                            client_msg_ids, user_ids, joined_bodies, body_starts, body_sizes, addressed)
    values (cardinality(_tenant_ids), _tenant_ids, _event_ids, _kinds, _channel_ids, _thread_tss, _message_tss,
            _client_msg_ids, _user_ids, _joined_bodies, _body_starts, _body_sizes, _addressed);
    return true;
end $$;

-- As in 0015, for bodies that are joined. Called by db::deliveries::sort.

create or replace function sort_deliveries(
    _batches integer, out event_count bigint, out known_count bigint, out relevant_count bigint,
    out stored_count bigint
)
language plpgsql
as $$
declare
    _sorted bigint[];
begin
    perform pg_advisory_xact_lock(hashtext('enablebot sort_deliveries'));
    -- A row leaves deliveries and its events appear together or not at all: it need not be on disk at once.
    perform set_config('synchronous_commit', 'off', true);
    select array_agg(oldest.batch_id), sum(oldest.event_count) into _sorted, event_count
        from (select d.batch_id, d.event_count from deliveries d order by d.batch_id limit _batches) as oldest;
    if _sorted is null then
        return;
    end if;

    with taken as (
        delete from deliveries d where d.batch_id = any (_sorted) returning d.*
    ), sent as materialized (
        select t.batch_id, i.tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id, user_id,
               coalesce(body, substring(joined from body_start for body_size)) as body, i.addressed, place
        from taken t
        -- Read once for all the events in it, which the offset sees to.
        cross join lateral (select t.joined_bodies || '' as joined offset 0) as whole
        cross join lateral unnest(t.tenant_ids, t.event_ids, t.kinds, t.channel_ids, t.thread_tss, t.message_tss,
                                  t.client_msg_ids, t.user_ids, t.bodies, t.body_starts, t.body_sizes, t.addressed)
            with ordinality as i (tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id,
                                  user_id, body, body_start, body_size, addressed, place)
        join installations n on n.tenant_id = i.tenant_id
    ), judged as materialized (
        -- A message of a thread counts where the bot takes part, or is just being asked to. That it refused somebody
        -- there is no part in it. Lists of a batch are met by `in`, which hashes them: how long they are is in no
        -- statistics, and a join might go through them one by one.
        select s.*, s.addressed
                    or (tenant_id, channel_id, thread_ts)
                       in (select tenant_id, channel_id, thread_ts from sent where addressed)
                    or exists (select from threads t where t.tenant_id = s.tenant_id
                               and t.channel_id = s.channel_id and t.thread_ts = s.thread_ts
                               and (t.refused_at is null
                                    or exists (select from turns u where u.tenant_id = t.tenant_id
                                               and u.channel_id = t.channel_id and u.thread_ts = t.thread_ts)))
                   as is_relevant
        from sent s
    ), stored as (
        -- What is known under one of the three keys is dropped here.
        insert into events (tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id, user_id,
                            body)
        select tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id, user_id, body
        from judged where is_relevant order by batch_id, place
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
    ), noted as (
        -- A re-delivery finds its own event; what else was dropped is noted.
        insert into ignored_events (tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason)
        select j.tenant_id, j.event_id, j.channel_id, j.message_ts, j.user_id,
               case when j.is_relevant then 'duplicate' else 'not_addressed' end,
               case when j.is_relevant then 'the same message came as another event'
                                       else 'a thread in which the bot takes no part' end
        from judged j
        where case when (j.tenant_id, j.event_id) in (select tenant_id, event_id from stored) then false
                   else j.message_ts is not null
                        and not exists (select from events e
                                        where e.tenant_id = j.tenant_id and e.channel_id = j.channel_id
                                          and e.message_ts = j.message_ts and e.event_id = j.event_id)
              end
    )
    select (select count(*) from judged), (select count(*) from judged where is_relevant),
           (select count(*) from stored)
        into known_count, relevant_count, stored_count;

    if stored_count > 0 then
        perform pg_notify('enablebot_events', '');
    end if;
end $$;
