-- What was deleted and who was forgotten, without names: a keyed digest, the master key that made it, and the
-- time. The table belongs to no tenant and outlives them all. A backup from before a deletion brings the data
-- back; tombstones that were kept beside the backups are then imported here and replayed (db/tombstones.rs).

create table tombstones (
    digest        text primary key,           -- in hexadecimal digits
    kind          text not null check (kind in ('tenant', 'person')),
    master_key_id text not null,
    made_at       timestamptz not null default now(),
    -- Imported, and not replayed yet: this database may hold what was deleted.
    is_pending    boolean not null default false
);

create index tombstones_pending on tombstones (made_at) where is_pending;

-- A digest says nothing to anyone without the master keys.
grant select, insert, update on tombstones to enablebot_tenant;
revoke delete on tombstones from enablebot_tenant, enablebot_service;

-- Until now the direct conversations of people who were forgotten kept their ids.
set local role enablebot_service;
update usage set channel_id = null, thread_ts = null where user_id = 'forgotten' and channel_id like 'D%';
update event_history set channel_id = 'forgotten', thread_ts = 'forgotten', message_ts = null, reply_ts = null
    where user_id = 'forgotten' and channel_id like 'D%';
update ignored_events set channel_id = null, message_ts = null where user_id = 'forgotten' and channel_id like 'D%';
reset role;
