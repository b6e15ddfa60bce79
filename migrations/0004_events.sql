-- What Slack sent and EnableBot is to act on. The stored event is the job: there is no second queue.
-- No foreign key to tenants, here and in threads: it would cost each insert a look and a lock, and what stores events
-- has read the tenant's installation in the same transaction.

create table events (
    seq           bigint generated always as identity primary key,
    tenant_id     text not null,
    event_id      text not null,
    kind          text not null,
    channel_id    text not null,
    thread_ts     text not null,
    message_ts    text,                       -- null: no message is behind it
    client_msg_id text,
    user_id       text not null,
    body          bytea,                      -- sealed; dropped once answered
    attempts      integer not null default 0,
    not_before    timestamptz,                -- set while it waits for its next try
    last_error    text,
    outcome       text,                       -- null: still to do
    received_at   timestamptz not null default now(),
    finished_at   timestamptz
);

-- The three keys against doing anything twice: one insert meets them all. A message's re-delivery has the same event
-- id and the same message, so for messages the second key holds the first.
create unique index events_event_id on events (tenant_id, event_id) where message_ts is null;
create unique index events_message on events (tenant_id, channel_id, message_ts) where message_ts is not null;
create unique index events_client_msg_id on events (tenant_id, client_msg_id) where client_msg_id is not null;

-- A thread's next event.
create index events_waiting on events (tenant_id, channel_id, thread_ts, message_ts, seq) where outcome is null;
-- The queue's depth and age.
create index events_waiting_since on events (received_at) where outcome is null;
