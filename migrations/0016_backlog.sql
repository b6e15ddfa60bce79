-- When whoever wrote a waiting message was told that it takes longer.
alter table events add column delay_told_at timestamptz;
