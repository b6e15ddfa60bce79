-- Returns a tenant's entry or, without one, a lease under which the caller may load and store it.
-- KEYS: the epoch of the cache, the entry, its lease. ARGV: a new unique id, the lease's lifetime in
-- milliseconds.
-- Returns {1, body} or {0, lease}.
local epoch = redis.call('GET', KEYS[1])
if not epoch then
    epoch = ARGV[1]
    redis.call('SET', KEYS[1], epoch)
end
local entry = redis.call('HMGET', KEYS[2], 'since', 'body')
if entry[1] == epoch then
    return { 1, entry[2] }
end
local lease = redis.call('GET', KEYS[3])
if not lease or string.sub(lease, 1, #epoch) ~= epoch then
    lease = epoch .. ARGV[1]
    redis.call('SET', KEYS[3], lease, 'PX', ARGV[2])
end
return { 0, lease }
