-- What is done for every batch of events. Functions, since a function's plans are kept by the session: through a
-- transaction pooler every other statement is parsed and planned anew, which would be most of the cost of these.

-- The current keys of those tenants that have an installation. Called by db::keys::list_of_installed.
create function installed_keys(_tenant_ids text[])
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

-- Stores a batch and makes its threads ready. Called by db::events::enqueue; the arrays have an element an event.

create function enqueue_events(
    _tenant_ids text[], _event_ids text[], _kinds text[], _channel_ids text[], _thread_tss text[],
    _message_tss text[], _client_msg_ids text[], _user_ids text[], _bodies bytea[], _addressed boolean[],
    out relevant_count bigint, out stored_count bigint
)
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
begin
    -- A message of a thread counts where the bot takes part, or is just being asked to.
    if false = any (_addressed) then
        _addressed := array(
            select i.addressed
                or exists (select from threads t where t.tenant_id = i.tenant_id
                           and t.channel_id = i.channel_id and t.thread_ts = i.thread_ts)
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
        returning tenant_id, channel_id, thread_ts
    ), touched as (
        select distinct tenant_id, channel_id, thread_ts from stored
    ), served as materialized (
        -- New places are behind the clock, and behind the tenant's threads that are ready. Looked up once a tenant.
        select tenant_id, greatest(
                   (select last_value from virtual_clock),
                   (select max(virtual_start) from threads t where t.tenant_id = n.tenant_id and state = 'ready')
               ) as last_start
        from (select distinct tenant_id from touched) as n
    ), woken as (
        -- Touches each thread's row even if it is busy: whoever lets it go waits for this transaction then, and looks
        -- again. So nothing is stranded.
        insert into threads (tenant_id, channel_id, thread_ts, state, virtual_start)
        select tenant_id, channel_id, thread_ts, 'ready',
               last_start + row_number() over (partition by tenant_id order by channel_id, thread_ts)
        from touched join served using (tenant_id)
        order by tenant_id, channel_id, thread_ts
        on conflict (tenant_id, channel_id, thread_ts) do update set
            state = case threads.state when 'idle' then 'ready' else threads.state end,
            virtual_start = case threads.state when 'idle' then excluded.virtual_start
                                               else threads.virtual_start end
    )
    select count(*) from stored into stored_count;

    if stored_count > 0 then
        perform pg_notify('enablebot_events', '');
    end if;
end $$;
