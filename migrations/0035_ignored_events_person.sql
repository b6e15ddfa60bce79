-- no-transaction
-- A member sees their own events only: without this their page went through all that the workspace ignored in a week.
create index concurrently if not exists ignored_events_person on ignored_events (tenant_id, user_id, received_at);
