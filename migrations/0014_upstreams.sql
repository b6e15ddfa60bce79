-- What outlives a broken model stream, and how long an upstream has held an event back.

alter table replies add column text_so_far bytea;             -- sealed; what the model goes on from, until it has ended
alter table events add column throttled_since timestamptz;    -- tries since then that were held back do not count
