-- How each workspace has its bot, and what its dashboard tells.

create table settings (
    tenant_id      text primary key references tenants on delete cascade,
    body           bytea not null,              -- sealed; models::Settings as JSON
    memory_days    integer check (memory_days > 0), -- once more, for what forgets
    model_key      bytea,                       -- sealed; the workspace's own key for the model
    model_key_hint text,                        -- its last characters
    budget_told_at timestamptz,                 -- when somebody was told that the budget goes to its end
    changed_by     text not null,
    changed_at     timestamptz not null default now()
);
create index settings_memory on settings (tenant_id) where memory_days is not null;

-- A row a question that ended: what came of it, how long it took and what it cost. It outlives the event.
alter table usage
    add column outcome      text not null default 'answered',
    add column reason       text,
    add column source       text not null default 'slack',
    add column event_id     text,
    add column channel_id   text,
    add column thread_ts    text,
    add column asked_at     timestamptz,
    add column first_word_ms integer,           -- from the question to the first word of the answer
    add column answer_ms    integer,            -- and to its end
    add column cost_micros  bigint not null default 0; -- millionths of a dollar

create index usage_person on usage (tenant_id, user_id, created_at);
create index usage_thread on usage (tenant_id, channel_id, thread_ts);

update usage u
set event_id = e.event_id, channel_id = e.channel_id, thread_ts = e.thread_ts, asked_at = e.received_at,
    outcome = e.outcome, reason = e.reason,
    answer_ms = least(extract(epoch from e.finished_at - e.received_at) * 1000, 2147483647)
from events e where e.seq = u.seq and e.outcome is not null;

insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens, created_at, outcome, reason,
                   event_id, channel_id, thread_ts, asked_at, answer_ms)
select seq, tenant_id, user_id, '', 0, 0, finished_at, outcome, reason, event_id, channel_id, thread_ts, received_at,
       least(extract(epoch from finished_at - received_at) * 1000, 2147483647)
from events e
where kind = 'message' and outcome in ('answered', 'refused', 'stopped', 'set_aside')
  and exists (select from tenants t where t.tenant_id = e.tenant_id)
on conflict do nothing;

-- The question that a turn belongs to.
alter table turns add column seq bigint;
-- What is old is forgotten from the oldest on.
create index turns_age on turns (tenant_id, created_at, turn_id);

-- What the prompt says of a person besides the name, as Slack tells it and as it was set here; both sealed.
alter table people add column profile bytea, add column set_profile bytea;
