-- An install under way. Only digests are kept: who reads this table can finish nobody's install.

create table oauth_states (
    state_digest   bytea primary key,
    browser_digest bytea not null,
    expires_at     timestamptz not null
);

create index oauth_states_expiry on oauth_states (expires_at);
