-- What each answer cost, in the model's own count.

create table usage (
    seq               bigint primary key,
    tenant_id         text not null references tenants on delete cascade,
    user_id           text not null,
    model             text not null,
    prompt_tokens     bigint not null,
    completion_tokens bigint not null,
    created_at        timestamptz not null default now()
);

create index usage_tenant on usage (tenant_id, created_at);
