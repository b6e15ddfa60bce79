-- How far an answer has come, so that a retry goes on where the last try stopped.

create table replies (
    seq               bigint primary key references events on delete cascade,
    tenant_id         text not null,
    posting_since     timestamptz,            -- a message was about to be posted, its fate not yet known
    message_ts        text,                   -- Slack's ts of the message that is being filled
    part_start        integer not null default 0, -- bytes of the text that earlier messages hold already
    text              bytea,                  -- sealed; the whole answer, once the model has ended
    model             text,
    prompt_tokens     bigint,
    completion_tokens bigint
);
