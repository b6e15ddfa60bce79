-- Data keys that were replaced and still open something: those whose rotation is under way, or was interrupted.
create index encryption_keys_retired on encryption_keys (tenant_id) where retired_at is not null;
