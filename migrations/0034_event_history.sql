-- What became of events, for as long as it can be looked up. Once an event has ended and Slack brings it no more, it leaves
-- `events`, which stays small, for here: a part a day of coming, which is dropped as a whole when it is old. The keys against
-- doing anything twice stay in `events`; here nothing is unique, since nothing here is done again.

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
    reply_ts          text,                   -- the message of Slack that was filled last with the answer
    primary key (received_at, seq)
) partition by range (received_at);

create index event_history_tenant on event_history (tenant_id, received_at);
create index event_history_person on event_history (tenant_id, user_id, received_at);
create index event_history_event on event_history (tenant_id, event_id);
-- When somebody last opened the bot, which a workspace's health tells.
create index event_history_opened on event_history (tenant_id, finished_at)
    where kind in ('conversation_opened', 'home_opened');

-- What no part is made for yet, so that nothing is lost.
create table event_history_rest partition of event_history default;

-- Policies, as in 0028, for a table or a part of one.
create procedure guard_event_history(_table regclass)
language plpgsql
as $$
begin
    execute format('alter table %s enable row level security', _table);
    execute format('alter table %s force row level security', _table);
    execute format('create policy own_rows on %s to enablebot_tenant
                    using (tenant_id = current_setting(''enablebot.tenant_id'', true))', _table);
    execute format('create policy all_rows on %s to enablebot_service using (true)', _table);
    -- For whoever makes the parts.
    execute format('create policy owner on %s to current_user using (true)', _table);
end $$;
call guard_event_history('event_history');
call guard_event_history('event_history_rest');
grant select, insert, update, delete on event_history to enablebot_tenant;

-- The release before this one deletes a workspace too, and does not know of this table.
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

-- Makes the parts that are needed, from that of _oldest_at on and for two days ahead, and drops those of which every
-- event came more than _days ago. A part is locked for a moment only: who has to wait for longer tries again with the next
-- call. Called by db::event_history.
create function keep_event_history(_days integer, _oldest_at timestamptz, out made integer, out dropped integer)
language plpgsql
security definer
set timezone = 'UTC'
set lock_timeout = '1s'
as $$
declare
    _oldest constant date := current_date - greatest(_days, 1);
    _day date;
    _part text;
begin
    made := 0;
    dropped := 0;
    if not pg_try_advisory_xact_lock(hashtext('enablebot event_history')) then
        return;
    end if;
    for _day in
        select generate_series(
            greatest(_oldest, least(current_date, _oldest_at::date)), current_date + 2, interval '1 day')::date
    loop
        _part := format('event_history_%s', to_char(_day, 'YYYYMMDD'));
        continue when to_regclass(_part) is not null;
        execute format('create table %I (like event_history including all)', _part);
        execute format(
            'with moved as (delete from event_history_rest where received_at >= %L and received_at < %L returning *)
             insert into %I select * from moved', _day, _day + 1, _part);
        execute format('call guard_event_history(%L)', _part);
        execute format('alter table event_history attach partition %I for values from (%L) to (%L)',
                       _part, _day, _day + 1);
        made := made + 1;
    end loop;
    for _part in
        select relname from pg_inherits join pg_class c on c.oid = inhrelid
        where inhparent = 'event_history'::regclass and relname ~ '^event_history_\d{8}$'
          and to_date(right(relname, 8), 'YYYYMMDD') < _oldest
    loop
        execute format('drop table %I', _part);
        dropped := dropped + 1;
    end loop;
    delete from event_history_rest where received_at < _oldest;
end $$;
do $$
begin
    execute format('alter function keep_event_history set search_path = %I, pg_temp', current_schema);
end $$;
revoke execute on function keep_event_history from public;
grant execute on function keep_event_history to enablebot_service;

select keep_event_history(30, null);
