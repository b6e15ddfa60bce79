-- What was acknowledged and is not sorted into events yet: a row a commit, its columns as enqueue_events takes them. So an
-- acknowledgement costs Postgres one row and one commit for many events, and the indexes of events are filled after it.
-- Nothing is found by its content here, so there is no index but the order of coming.

create table deliveries (
    batch_id       bigint generated always as identity primary key,
    received_at    timestamptz not null default now(),
    event_count    integer not null,
    tenant_ids     text[] not null,
    event_ids      text[] not null,
    kinds          text[] not null,
    channel_ids    text[] not null,
    thread_tss     text[] not null,
    message_tss    text[] not null,
    client_msg_ids text[] not null,
    user_ids       text[] not null,
    bodies         bytea[] not null,           -- sealed
    addressed      boolean[] not null
);

-- Sealed bodies do not compress, and the rest is gone in milliseconds.
alter table deliveries
    alter column tenant_ids set storage external,
    alter column event_ids set storage external,
    alter column kinds set storage external,
    alter column channel_ids set storage external,
    alter column thread_tss set storage external,
    alter column message_tss set storage external,
    alter column client_msg_ids set storage external,
    alter column user_ids set storage external,
    alter column bodies set storage external;

-- Sorts the oldest commits into events, in the order in which they came: who follows up in a thread must come after who
-- began it, so only one sorts at a time, on whichever replica. Returns nothing where there is nothing to sort.
-- Events of a workspace that was uninstalled meanwhile are dropped.
create function sort_deliveries(
    _batches integer, out event_count bigint, out known_count bigint, out relevant_count bigint,
    out stored_count bigint
)
language plpgsql
as $$
declare
    _sorted bigint[];
    _columns record;
begin
    perform pg_advisory_xact_lock(hashtext('enablebot sort_deliveries'));
    -- A row leaves deliveries and its events appear together or not at all: it need not be on disk at once.
    perform set_config('synchronous_commit', 'off', true);
    select array_agg(oldest.batch_id), sum(oldest.event_count) into _sorted, event_count
        from (select d.batch_id, d.event_count from deliveries d order by d.batch_id limit _batches) as oldest;
    if _sorted is null then
        return;
    end if;
    select count(*) as known_count,
           array_agg(i.tenant_id) as tenant_ids, array_agg(event_id) as event_ids, array_agg(kind) as kinds,
           array_agg(channel_id) as channel_ids, array_agg(thread_ts) as thread_tss,
           array_agg(message_ts) as message_tss, array_agg(client_msg_id) as client_msg_ids,
           array_agg(user_id) as user_ids, array_agg(body) as bodies, array_agg(i.addressed) as addressed
        into _columns
        from deliveries d,
             unnest(d.tenant_ids, d.event_ids, d.kinds, d.channel_ids, d.thread_tss, d.message_tss,
                    d.client_msg_ids, d.user_ids, d.bodies, d.addressed)
                 as i (tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id, user_id, body,
                       addressed)
        join installations n on n.tenant_id = i.tenant_id
        where d.batch_id = any (_sorted);
    delete from deliveries where batch_id = any (_sorted);
    known_count := _columns.known_count;
    if known_count = 0 then
        relevant_count := 0;
        stored_count := 0;
        return;
    end if;
    select e.relevant_count, e.stored_count into relevant_count, stored_count
        from enqueue_events(_columns.tenant_ids, _columns.event_ids, _columns.kinds, _columns.channel_ids,
                            _columns.thread_tss, _columns.message_tss, _columns.client_msg_ids,
                            _columns.user_ids, _columns.bodies, _columns.addressed) as e;
end $$;
