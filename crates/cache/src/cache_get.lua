-- What is kept of a tenant; or, where nothing is, a lease for whoever goes to read it.
-- KEYS: since when what is kept counts, what is kept, its lease. ARGV: an id that nobody had, milliseconds of a lease.
-- Returns {1, what is kept} or {0, the lease}.
local since = redis.call('GET', KEYS[1])
if not since then
    since = ARGV[1]
    redis.call('SET', KEYS[1], since)
end
local kept = redis.call('HMGET', KEYS[2], 'since', 'body')
if kept[1] == since then
    return { 1, kept[2] }
end
local lease = redis.call('GET', KEYS[3])
if not lease or string.sub(lease, 1, #since) ~= since then
    lease = since .. ARGV[1]
    redis.call('SET', KEYS[3], lease, 'PX', ARGV[2])
end
return { 0, lease }
