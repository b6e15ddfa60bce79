-- Who manages a workspace, besides the people whom Slack calls admin or owner: those whom such a person named.
create table managers (
    tenant_id  text not null references tenants on delete cascade,
    user_id    text not null,
    granted_by text not null,
    granted_at timestamptz not null default now(),
    primary key (tenant_id, user_id)
);

grant select, insert, update, delete on managers to enablebot_tenant;
alter table managers enable row level security;
alter table managers force row level security;
create policy own_rows on managers to enablebot_tenant
    using (tenant_id = current_setting('enablebot.tenant_id', true));
create policy all_rows on managers to enablebot_service using (true);

-- The workspace and the organisation that a person signed in with, as Slack signed them. Sessions from before
-- have none, so that nobody is an operator by them.
alter table sessions add column team_id text, add column enterprise_id text;
