-- What an operator decided about a workspace outlives the workspace's data: a suspension and a weight.

-- One row for each tenant that is gone and had a rule. While a tenant exists its rules are in `tenants`;
-- db::tenants::delete moves them here, and the next install moves them back. It refers to no tenant, holds no
-- personal data and is not deleted with the tenant.
create table tenant_rules (
    tenant_id        text primary key,
    weight           integer not null default 1 check (weight between 1 and 100),
    suspended_at     timestamptz,
    suspended_reason text,
    kept_at          timestamptz not null default now(),
    constraint tenant_rules_suspended check ((suspended_at is null) = (suspended_reason is null))
);

grant select, insert, update, delete on tenant_rules to enablebot_tenant, enablebot_service;
alter table tenant_rules enable row level security;
alter table tenant_rules force row level security;
create policy own_rows on tenant_rules to enablebot_tenant
    using (tenant_id = current_setting('enablebot.tenant_id', true));
create policy all_rows on tenant_rules to enablebot_service using (true);
