-- A row a thread in which the bot takes part. It carries the claim: what waits, who answers, whose turn is next.
--
-- Fairness (start-time fair queueing): a thread that becomes ready gets the virtual start
-- max(clock, the last of its tenant's ready threads) + 1, the claim takes the smallest, and the clock follows what
-- was claimed. So a tenant with a thousand ready threads stands a thousand places back with its last, and another
-- tenant's first stands right at the front. The claim is one index step, however much waits; so is a new place, and
-- no tenant has a row on which its batches would wait for each other.

create table threads (
    tenant_id     text not null,
    channel_id    text not null,
    thread_ts     text not null,
    state         text not null check (state in ('idle', 'ready', 'leased', 'backoff')),
    virtual_start bigint not null default 0,
    lease_token   uuid,                       -- names the holder; every write of a worker is fenced by it
    wake_at       timestamptz,                -- leased: when the lease ends; backoff: when it is ready again
    created_at    timestamptz not null default now(),
    primary key (tenant_id, channel_id, thread_ts),
    check ((state = 'leased') = (lease_token is not null)),
    check ((state in ('leased', 'backoff')) = (wake_at is not null))
);

create index threads_ready on threads (virtual_start) where state = 'ready';
create index threads_ready_of_tenant on threads (tenant_id, virtual_start) where state = 'ready';
create index threads_wake on threads (wake_at) where state in ('leased', 'backoff');
create unique index threads_lease on threads (lease_token) where lease_token is not null;

-- A sequence is a register that no transaction holds: the virtual clock is set without a lock.
create sequence virtual_clock minvalue 0 start 0;
