-- What was done to a tenant, and by whom. No foreign key: it outlives the tenant.

create table audit_log (
    entry_id   bigint generated always as identity primary key,
    tenant_id  text not null,
    actor      text not null,                 -- a user id, or "enablebot"
    action     text not null,
    detail     jsonb not null default '{}',   -- ids and counts, never what people wrote
    created_at timestamptz not null default now()
);

create index audit_log_tenant on audit_log (tenant_id, entry_id desc);
