-- The event queue. The inbox takes what Slack sends; from there events go into the table events, and each
-- event makes its thread ready for a worker.

-- Events that were acknowledged and are not in the table events yet. One row is one commit; an array has one
-- element per event. So an acknowledgement costs Postgres one row and one commit for many events, and the
-- indexes of events are filled afterwards. Rows are only read in their order, so there is no other index.
create table event_inbox (
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
    -- The encrypted bodies, joined into one value: Postgres reads each digit of an array element twice more,
    -- which was a fifth of the cost of an acknowledgement.
    joined_bodies  bytea not null,
    body_starts    integer[] not null,        -- from 1
    body_sizes     integer[] not null,
    is_addressed   boolean[] not null
);

-- Encrypted bodies do not compress, and the rest is deleted within milliseconds.
alter table event_inbox
    alter column tenant_ids set storage external,
    alter column event_ids set storage external,
    alter column kinds set storage external,
    alter column channel_ids set storage external,
    alter column thread_tss set storage external,
    alter column message_tss set storage external,
    alter column client_msg_ids set storage external,
    alter column user_ids set storage external,
    alter column joined_bodies set storage external,
    alter column body_starts set storage external,
    alter column body_sizes set storage external;

-- The events that EnableBot has to act on. The stored event is the job: there is no second queue. Neither
-- this table nor threads has a foreign key to tenants: it would cost each insert a look-up and a lock, and an
-- event is stored in a transaction that has read the tenant's installation.
create table events (
    seq               bigint generated always as identity primary key,
    tenant_id         text not null,
    event_id          text not null,
    kind              text not null,
    channel_id        text not null,
    thread_ts         text not null,
    message_ts        text,                   -- null: the event is not about a message
    client_msg_id     text,
    user_id           text not null,
    body              bytea,                  -- encrypted; dropped once the event is answered
    attempts          integer not null default 0,
    -- The failed attempts, oldest first, each {"at", "attempt", "reason"}; never the content.
    attempts_log      jsonb not null default '[]',
    not_before        timestamptz,            -- set while the event waits for its next attempt
    throttled_since   timestamptz,            -- attempts that were throttled since then do not count
    -- The start that the rate limiter reserved, whichever worker takes the event then.
    rate_limited_until timestamptz,
    delay_notified_at timestamptz,            -- when the author of the message was told that the reply takes longer
    stop_requested_at timestamptz,            -- when somebody pressed "Stop"
    outcome           text,                   -- null: not finished
    reason            text,
    received_at       timestamptz not null default now(),
    finished_at       timestamptz
) with (
    -- An event is updated several times within seconds. With free space on its page an update touches no
    -- index. Dead rows are removed before the table grows. `cargo xtask bench day` measures both.
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000
);

-- Three unique keys against handling anything twice; one insert checks them all. A second delivery of a
-- message has the same event id and the same message, so for messages the second index includes the first.
create unique index events_event_id on events (tenant_id, event_id) where message_ts is null;
create unique index events_message on events (tenant_id, channel_id, message_ts) where message_ts is not null;
create unique index events_client_msg_id on events (tenant_id, client_msg_id) where client_msg_id is not null;

-- A thread's next event.
create index events_pending on events (tenant_id, channel_id, thread_ts, message_ts, seq) where outcome is null;
-- The queue's depth and age.
create index events_pending_received_at on events (received_at) where outcome is null;
create index events_dead_letter on events (tenant_id, event_id) where outcome = 'set_aside';
-- The dashboard's counts. An event enters this index when it ends, as it leaves other indexes anyway.
create index events_finished on events (tenant_id, finished_at) where outcome is not null;
-- A person who was told about a delay is not told again within a minute.
create index events_delay_notified on events (tenant_id, user_id, delay_notified_at)
    where delay_notified_at is not null;

-- The threads in which the bot takes part. The row carries the claim: whether events wait, which worker holds
-- the thread, and its position in the queue.
--
-- Fairness (start-time fair queueing): a thread that becomes ready gets the virtual start max(clock, the last
-- of its tenant's ready threads) + the tenant's stride. The claim takes the smallest virtual start, and the
-- clock follows what was claimed. So the last thread of a tenant with a thousand ready threads is a thousand
-- strides behind, and the first thread of another tenant is near the front. A claim is one index step,
-- however many threads wait; so is a new position, and there is no row per tenant on which its batches would
-- wait for each other.
create table threads (
    tenant_id              text not null,
    channel_id             text not null,
    thread_ts              text not null,
    state                  text not null check (state in ('idle', 'ready', 'leased', 'backoff')),
    virtual_start          bigint not null default 0,
    lease_token            uuid,              -- names the holder; every write of a worker is fenced by it
    wake_at                timestamptz,       -- leased: when the lease ends; backoff: when it is ready again
    created_at             timestamptz not null default now(),
    -- When its last event came. An idle thread without messages in memory is deleted some time after that.
    used_at                timestamptz not null default now(),
    refused_at             timestamptz,       -- when an external person was told that the bot does not answer here
    suspension_notified_at timestamptz,       -- when the thread was told that the workspace is suspended
    primary key (tenant_id, channel_id, thread_ts),
    check ((state = 'leased') = (lease_token is not null)),
    check ((state in ('leased', 'backoff')) = (wake_at is not null))
) with (
    -- Each update of a thread changes an index, so free space on its page would not help.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000
);

create index threads_ready on threads (virtual_start) where state = 'ready';
create index threads_ready_of_tenant on threads (tenant_id, virtual_start) where state = 'ready';
create index threads_wake_at on threads (wake_at) where state in ('leased', 'backoff');
create unique index threads_lease on threads (lease_token) where lease_token is not null;

-- A sequence is a register that no transaction holds: the virtual clock is set without a lock.
create sequence virtual_clock minvalue 0 start 0;

-- The distance between two positions of a tenant in the queue. A tenant of weight w gets w times as many
-- turns, because its threads are 1/w of the distance apart.
create function fair_queue_stride(_tenant_id text) returns bigint
language sql stable
as $$
    select 10000 / coalesce((select weight from tenants where tenant_id = _tenant_id), 1)
$$;

-- The progress of a reply: a retry continues where the last attempt stopped.
create table replies (
    seq                bigint primary key references events on delete cascade,
    tenant_id          text not null,
    posting_since      timestamptz,           -- a message was about to be posted, and it is unknown whether it was
    message_ts         text,                  -- Slack's ts of the message that is being filled
    message_start_byte integer not null default 0, -- bytes of the text that earlier messages hold
    text               bytea,                 -- encrypted; the whole reply, once the model has finished
    partial_text       bytea,                 -- encrypted; the text so far, from which the model continues
    model              text,
    prompt_tokens      bigint,
    completion_tokens  bigint,
    cost_micros        bigint not null default 0 -- all model calls of the event so far; moves to usage at the end
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Events that nothing was done about, kept for a week, without content: they explain why there was no reply.
create table ignored_events (
    tenant_id   text not null,
    event_id    text not null,
    channel_id  text,
    message_ts  text,
    user_id     text,
    outcome     text not null,
    reason      text not null,
    received_at timestamptz not null default now()
);

create index ignored_events_tenant on ignored_events (tenant_id, received_at);
-- A member sees only their own events.
create index ignored_events_user on ignored_events (tenant_id, user_id, received_at);
create index ignored_events_received on ignored_events (received_at);

-- Stores a batch. The arrays have one element per event, except the first two, which have one per tenant. The
-- function checks that the batch was encrypted with the tenants' current keys, because the caller may have
-- cached them. It returns false and stores nothing if a tenant has another key by now or no installation. One
-- statement is one message to Postgres and one back. Called by db::event_inbox.
create function inbox_append(
    _key_tenant_ids text[], _key_ids uuid[],
    _tenant_ids text[], _event_ids text[], _kinds text[], _channel_ids text[], _thread_tss text[],
    _message_tss text[], _client_msg_ids text[], _user_ids text[],
    _joined_bodies bytea, _body_starts integer[], _body_sizes integer[], _is_addressed boolean[]
)
returns boolean
language plpgsql
as $$
begin
    if exists (select from unnest(_key_tenant_ids, _key_ids) as used (tenant_id, key_id)
               where not exists (select from encryption_keys k join installations i on i.tenant_id = k.tenant_id
                                 where k.tenant_id = used.tenant_id and k.key_id = used.key_id
                                   and k.retired_at is null)) then
        return false;
    end if;
    insert into event_inbox (event_count, tenant_ids, event_ids, kinds, channel_ids, thread_tss, message_tss,
                             client_msg_ids, user_ids, joined_bodies, body_starts, body_sizes, is_addressed)
    values (cardinality(_tenant_ids), _tenant_ids, _event_ids, _kinds, _channel_ids, _thread_tss, _message_tss,
            _client_msg_ids, _user_ids, _joined_bodies, _body_starts, _body_sizes, _is_addressed);
    return true;
end $$;

-- Moves the oldest batches of the inbox into events and makes their threads ready, in the order in which they
-- came: a follow-up in a thread must come after the message that began it, so only one process does this at a
-- time, on whichever instance. Returns nulls if the inbox is empty. Drops events of a workspace that was
-- uninstalled meanwhile. Called by db::event_inbox::enqueue_pending.
--
-- The plan is kept for the session: the function is called for every few events, and planning takes far
-- longer than running. The plan may have been made while the tables were empty, so it must never read a whole
-- table. Nothing in it is worth compiling.
create function inbox_drain(
    _batches integer, out event_count bigint, out installed_count bigint, out relevant_count bigint,
    out stored_count bigint
)
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
    _batch_ids bigint[];
begin
    perform pg_advisory_xact_lock(hashtext('enablebot inbox_drain'));
    -- A row leaves the inbox in the same transaction in which its events appear: it need not be on disk at
    -- once.
    perform set_config('synchronous_commit', 'off', true);
    select array_agg(oldest.batch_id), sum(oldest.event_count) into _batch_ids, event_count
        from (select i.batch_id, i.event_count from event_inbox i order by i.batch_id limit _batches) as oldest;
    if _batch_ids is null then
        return;
    end if;

    with batches as (
        delete from event_inbox i where i.batch_id = any (_batch_ids) returning i.*
    ), received as materialized (
        select b.batch_id, i.tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id, user_id,
               substring(joined from body_start for body_size) as body, i.is_addressed, position_in_batch
        from batches b
        -- Read once for all the events of the batch; the offset prevents that it is read for each.
        cross join lateral (select b.joined_bodies || '' as joined offset 0) as whole
        cross join lateral unnest(b.tenant_ids, b.event_ids, b.kinds, b.channel_ids, b.thread_tss, b.message_tss,
                                  b.client_msg_ids, b.user_ids, b.body_starts, b.body_sizes, b.is_addressed)
            with ordinality as i (tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id,
                                  user_id, body_start, body_size, is_addressed, position_in_batch)
        join installations n on n.tenant_id = i.tenant_id
    ), classified as materialized (
        -- A message of a thread is relevant if the bot takes part in the thread, or is mentioned in it in
        -- this batch. A thread in which the bot only refused an external person does not count. `in` hashes
        -- the lists of a batch: their length is in no statistics, and a join might go through them one by
        -- one.
        select r.*, r.is_addressed
                    or (tenant_id, channel_id, thread_ts)
                       in (select tenant_id, channel_id, thread_ts from received where is_addressed)
                    or exists (select from threads t where t.tenant_id = r.tenant_id
                               and t.channel_id = r.channel_id and t.thread_ts = r.thread_ts
                               and (t.refused_at is null
                                    or exists (select from chat_memory m where m.tenant_id = t.tenant_id
                                               and m.channel_id = t.channel_id and m.thread_ts = t.thread_ts)))
                   as is_relevant
        from received r
    ), stored as (
        -- An event that is known under one of the three keys is dropped here.
        insert into events (tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id, user_id,
                            body)
        select tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id, user_id, body
        from classified where is_relevant order by batch_id, position_in_batch
        on conflict do nothing
        returning tenant_id, channel_id, thread_ts, event_id
    ), touched as (
        select distinct tenant_id, channel_id, thread_ts from stored
    ), positions as materialized (
        -- New positions are behind the clock and behind the tenant's ready threads. Looked up once per
        -- tenant.
        select tenant_id, fair_queue_stride(tenant_id) as stride, greatest(
                   (select last_value from virtual_clock),
                   (select max(virtual_start) from threads t where t.tenant_id = n.tenant_id and state = 'ready')
               ) as last_start
        from (select distinct tenant_id from touched) as n
    ), woken as (
        -- Updates each thread's row even if a worker holds it: a worker that releases it waits for this
        -- transaction and then looks again. So no event is left without a worker.
        insert into threads (tenant_id, channel_id, thread_ts, state, virtual_start)
        select tenant_id, channel_id, thread_ts, 'ready',
               last_start + stride
                   * row_number() over (partition by tenant_id order by channel_id, thread_ts)
        from touched join positions using (tenant_id)
        order by tenant_id, channel_id, thread_ts
        on conflict (tenant_id, channel_id, thread_ts) do update set
            used_at = excluded.used_at,
            state = case threads.state when 'idle' then 'ready' else threads.state end,
            virtual_start = case threads.state when 'idle' then excluded.virtual_start
                                               else threads.virtual_start end
    ), ignored as (
        -- A second delivery finds its own event and is not recorded. Everything else that was dropped is.
        insert into ignored_events (tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason)
        select c.tenant_id, c.event_id, c.channel_id, c.message_ts, c.user_id,
               case when c.is_relevant then 'duplicate' else 'not_addressed' end,
               case when c.is_relevant then 'the same message came as another event'
                                       else 'a thread in which the bot takes no part' end
        from classified c
        where case when (c.tenant_id, c.event_id) in (select tenant_id, event_id from stored) then false
                   else c.message_ts is not null
                        and not exists (select from events e
                                        where e.tenant_id = c.tenant_id and e.channel_id = c.channel_id
                                          and e.message_ts = c.message_ts and e.event_id = c.event_id)
              end
    )
    select (select count(*) from classified), (select count(*) from classified where is_relevant),
           (select count(*) from stored)
        into installed_count, relevant_count, stored_count;

    if stored_count > 0 then
        perform pg_notify('enablebot_events', '');
    end if;
end $$;
