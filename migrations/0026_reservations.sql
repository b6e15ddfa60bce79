-- Money that is held for answers in work, where a workspace has a budget: it is taken before the model is asked and given
-- back with what the answer did cost, so that no number of answers at once goes beyond what there is.

create table reservations (
    seq           bigint primary key,         -- the question's; of a program's too, which has no event
    tenant_id     text not null,
    user_id       text not null,
    cost_micros   bigint not null check (cost_micros >= 0), -- of calls that are not booked yet, the one in work at its worst
    model         text,                       -- asked by the call in work; null between two
    prompt_tokens bigint not null default 0,  -- what that call has cost at least, should nobody come back from it
    prompt_micros bigint not null default 0,
    expires_at    timestamptz                 -- null: the end of the event is its end
);
-- No foreign keys: whoever reserves holds the row of settings, which whoever deletes or sets comes to behind that of tenants.
create index reservations_tenant on reservations (tenant_id);
create index reservations_expiry on reservations (expires_at) where expires_at is not null;

-- What all model calls for a question have cost so far, as the tokens beside it; usage takes it over at the end.
alter table replies add column cost_micros bigint not null default 0;

-- What a month has cost is asked before each call: from the index alone.
create index usage_spent on usage (tenant_id, created_at) include (cost_micros);
drop index usage_tenant;
