-- The outcomes of past events, for as long as they can be looked up. When an event has ended and Slack no
-- longer delivers it again, it moves from `events`, which stays small, to here. There is a partition per day
-- of arrival, which is dropped as a whole when it is old. The unique keys stay in `events`; nothing is unique
-- here, because nothing here is handled again.

create table event_history (
    seq               bigint not null,
    tenant_id         text not null,
    event_id          text not null,
    kind              text not null,
    channel_id        text not null,
    thread_ts         text not null,
    message_ts        text,
    user_id           text not null,
    attempts          integer not null,
    attempts_log      jsonb not null,
    outcome           text not null,
    reason            text,
    received_at       timestamptz not null,
    finished_at       timestamptz not null,
    stop_requested_at timestamptz,
    reply_ts          text,                   -- the last Slack message of the reply
    primary key (received_at, seq)
) partition by range (received_at);

create index event_history_tenant on event_history (tenant_id, received_at);
create index event_history_user on event_history (tenant_id, user_id, received_at);
create index event_history_event on event_history (tenant_id, event_id);
-- When somebody last opened the bot, which the health page of a workspace shows.
create index event_history_opened on event_history (tenant_id, finished_at)
    where kind in ('conversation_opened', 'home_opened');

-- Takes the events of a day that has no partition yet, so that nothing is lost.
create table event_history_default partition of event_history default;

-- Sets the policies of 0007 on the table or on one of its partitions.
create procedure protect_event_history_partition(_table regclass)
language plpgsql
as $$
begin
    execute format('alter table %s enable row level security', _table);
    execute format('alter table %s force row level security', _table);
    execute format('create policy own_rows on %s to enablebot_tenant
                    using (tenant_id = current_setting(''enablebot.tenant_id'', true))', _table);
    execute format('create policy all_rows on %s to enablebot_service using (true)', _table);
    -- For the function that creates the partitions.
    execute format('create policy owner on %s to current_user using (true)', _table);
end $$;
call protect_event_history_partition('event_history');
call protect_event_history_partition('event_history_default');
grant select, insert, update, delete on event_history to enablebot_tenant;

-- A tenant that is deleted by hand takes its history along. A foreign key would cost each insert a look-up
-- and a lock.
create function delete_event_history()
returns trigger
language plpgsql
as $$
begin
    delete from event_history where tenant_id = old.tenant_id;
    return null;
end $$;
create trigger delete_event_history after delete on tenants
    for each row execute function delete_event_history();

-- Creates the partitions from the day of _oldest_at until the day after tomorrow, and drops those in which
-- every event is more than _days old. Locks a partition only for a moment; if it would have to wait longer,
-- it fails and the next call tries again. Called by db::event_history.
create function maintain_event_history_partitions(
    _days integer, _oldest_at timestamptz, out created integer, out dropped integer
)
language plpgsql
security definer
set timezone = 'UTC'
set lock_timeout = '1s'
as $$
declare
    _oldest constant date := current_date - greatest(_days, 1);
    _day date;
    _partition text;
begin
    created := 0;
    dropped := 0;
    if not pg_try_advisory_xact_lock(hashtext('enablebot event_history')) then
        return;
    end if;
    for _day in
        select generate_series(
            greatest(_oldest, least(current_date, _oldest_at::date)), current_date + 2, interval '1 day')::date
    loop
        _partition := format('event_history_%s', to_char(_day, 'YYYYMMDD'));
        continue when to_regclass(_partition) is not null;
        execute format('create table %I (like event_history including all)', _partition);
        execute format(
            'with moved as (
                 delete from event_history_default where received_at >= %L and received_at < %L returning *
             )
             insert into %I select * from moved', _day, _day + 1, _partition);
        execute format('call protect_event_history_partition(%L)', _partition);
        execute format('alter table event_history attach partition %I for values from (%L) to (%L)',
                       _partition, _day, _day + 1);
        created := created + 1;
    end loop;
    for _partition in
        select relname from pg_inherits join pg_class c on c.oid = inhrelid
        where inhparent = 'event_history'::regclass and relname ~ '^event_history_\d{8}$'
          and to_date(right(relname, 8), 'YYYYMMDD') < _oldest
    loop
        execute format('drop table %I', _partition);
        dropped := dropped + 1;
    end loop;
    delete from event_history_default where received_at < _oldest;
end $$;
do $$
begin
    execute format('alter function maintain_event_history_partitions set search_path = %I, pg_temp', current_schema);
end $$;
revoke execute on function maintain_event_history_partitions from public;
grant execute on function maintain_event_history_partitions to enablebot_service;

select maintain_event_history_partitions(30, null);
