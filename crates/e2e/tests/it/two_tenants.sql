-- A row of tenant {T} in every table with a tenant column. Each column has a value that only {T} has; {N} is unique.
insert into tenants (tenant_id, name) values ('{T}', 'Name of {T}');
insert into encryption_keys (key_id, tenant_id, master_key_id, wrapped_key, retired_at)
    values (md5('key {T}')::uuid, '{T}', 'k1', 'wrapped {T}', null),
           (md5('retired {T}')::uuid, '{T}', 'k1', 'wrapped before {T}', now());
insert into installations (tenant_id, team_id, app_id, bot_user_id, bot_token, scopes, installed_by, refresh_token,
                           token_expires_at, refresh_lease, refresh_lease_until)
    values ('{T}', '{T}', 'A{T}', 'UBOT{T}', 'token {T}', 'scopes {T}', 'U{T}', 'refresh {T}', now() + interval '1 second',
            md5('refresh {T}')::uuid, now());
insert into tenant_rules (tenant_id, weight, suspended_at, suspended_reason) values ('{T}', 2, now(), 'rule {T}');
insert into team_access (tenant_id, team_id) values ('{T}', 'TEAM{T}');
insert into settings (tenant_id, body, memory_days, model_key, changed_by)
    values ('{T}', 'settings {T}', 1, 'model key {T}', 'U{T}');
insert into people (tenant_id, user_id, origin, name, profile, checked_at, onboarded_at)
    values ('{T}', 'U{T}', 'member', 'name {T}', 'profile {T}', now(), now());
insert into managers (tenant_id, user_id, granted_by) values ('{T}', 'U{T}', 'U{T}');
insert into sessions (session_digest, tenant_id, user_id, name, is_admin, seen_at)
    values ('digest {T}', '{T}', 'U{T}', 'name {T}', true, now() - interval '1 hour');
insert into channels (tenant_id, channel_id, external_allowed) values ('{T}', 'C{T}', true);
insert into events (seq, tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id, user_id, body,
                    attempts, outcome, reason, received_at, finished_at, stop_requested_at)
    overriding system value
    values ({N}, '{T}', 'Ev{T}', 'message', 'C{T}', '{N}.000001', '{N}.000002', 'msg {T}', 'U{T}', 'body {T}',
            1, null, null, now() - interval '20 seconds', null, now()),
           ({N} + 1, '{T}', 'EvAside{T}', 'message', 'C{T}', '{N}.000001', '{N}.000003', 'aside {T}', 'U{T}', 'body {T}',
            8, 'set_aside', 'why {T}', now() - interval '1 year', now() - interval '1 year', null),
           ({N} + 2, '{T}', 'EvNew{T}', 'message', 'C{T}', '{N}.000004', '{N}.000004', 'new {T}', 'U{T}', 'body {T}',
            0, null, null, now() - interval '20 seconds', null, null);
insert into threads (tenant_id, channel_id, thread_ts, state, virtual_start, lease_token, wake_at, used_at)
    values ('{T}', 'C{T}', '{N}.000001', 'leased', {N}, md5('lease {T}')::uuid, now() - interval '1 second', now()),
           ('{T}', 'C{T}', '{N}.000004', 'ready', {N}, null, null, now()),
           ('{T}', 'C{T}', '{N}.000005', 'idle', {N}, null, null, now() - interval '1 year');
insert into replies (seq, tenant_id, message_ts, text, partial_text, model)
    values ({N}, '{T}', '{N}.000009', 'answer {T}', 'so far {T}', 'model {T}');
insert into chat_memory (tenant_id, channel_id, thread_ts, role, user_id, text, created_at, seq)
    values ('{T}', 'C{T}', '{N}.000001', 'user', 'U{T}', 'said {T}', now() - interval '1 week', {N});
insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens, outcome, reason, event_id, channel_id,
                   thread_ts, asked_at, first_token_ms, total_ms, cost_micros)
    values ({N} + 1, '{T}', 'U{T}', 'model {T}', {N}, {N}, 'set_aside', 'why {T}', 'EvAside{T}', 'C{T}', '{N}.000001', now(),
            {N}, {N}, {N});
insert into reservations (seq, tenant_id, user_id, cost_micros, model, expires_at)
    values ({N}, '{T}', 'U{T}', {N}, 'model {T}', now() - interval '1 second');
insert into feedback (tenant_id, event_id, user_id, positive) values ('{T}', 'EvAside{T}', 'U{T}', true);
insert into event_history (seq, tenant_id, event_id, kind, channel_id, thread_ts, message_ts, user_id, attempts, attempts_log,
                           outcome, reason, received_at, finished_at, reply_ts)
    values ({N} + 3, '{T}', 'EvPast{T}', 'message', 'C{T}', '{N}.000001', '{N}.000007', 'U{T}', 1, '[]', 'answered',
            'why {T}', now() - interval '1 year', now() - interval '1 year', '{N}.000009');
insert into ignored_events (tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason, received_at)
    values ('{T}', 'EvIgnored{T}', 'C{T}', '{N}.000008', 'U{T}', 'duplicate', 'why {T}', now() - interval '1 year');
insert into api_keys (key_id, tenant_id, name, digest, hint, scopes, created_by)
    values (md5('api {T}')::uuid, '{T}', 'name {T}', 'digest {T}', 'hint', '{chat}', 'U{T}');
insert into chat_leases (tenant_id, conversation_id, lease, leased_until)
    values ('{T}', '{N}.000001', md5('lease {T}')::uuid, now() - interval '1 second');
insert into exports (export_id, tenant_id, started_by, rows_total) values (md5('export {T}')::uuid, '{T}', 'U{T}', {N});
insert into audit_log (tenant_id, actor, action, detail)
    values ('{T}', 'U{T}', 'installed', '{"of": "{T}"}'), ('{T}', 'enablebot', 'deleted', '{"receipt": "{T}"}');
