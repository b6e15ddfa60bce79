-- Rows that grant something carry a keyed digest over what they grant, so that writing to the database does
-- not make a session or a key. The previous release ignores the new columns; what it writes is not valid here.
-- `web migrate` signs the API keys that exist in the same transaction (db::schema).

alter table sessions
    add column proof bytea,                     -- times and HMAC, see db::session_proof; null: not valid
    add column session_id uuid,                 -- names the session on its owner's page; says nothing about the cookie
    add column browser bytea;                   -- encrypted; for example "Firefox on Linux"

alter table api_keys
    add column proof bytea,                     -- HMAC of a master key; null once revoked
    add column master_key_id text;              -- that master key
