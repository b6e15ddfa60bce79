-- What was said in the threads of the bot, sealed: its own memory, since Slack's history calls are one a minute.

create sequence turn_id;

create table turns (
    tenant_id  text not null references tenants on delete cascade,
    channel_id text not null,
    thread_ts  text not null,
    turn_id    bigint not null default nextval('turn_id'),
    role       text not null check (role in ('user', 'assistant')),
    user_id    text not null,
    text       bytea not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, channel_id, thread_ts, turn_id)
) partition by hash (tenant_id);

do $$
begin
    for remainder in 0..15 loop
        execute format(
            'create table turns_%s partition of turns for values with (modulus 16, remainder %s)',
            remainder, remainder);
    end loop;
end $$;
