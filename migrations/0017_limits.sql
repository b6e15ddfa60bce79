-- When the turn of an event that was above its tenant's limit comes: it is kept for it, whoever takes it up then.
alter table events add column turn_at timestamptz;

-- Whoever was told of a delay is not told again within a minute.
create index events_told on events (tenant_id, user_id, delay_told_at) where delay_told_at is not null;
