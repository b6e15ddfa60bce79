-- Stores what was loaded under a lease, unless the lease was revoked: then the data may have changed after it
-- was read.
-- KEYS: the epoch of the cache, the entry, its lease. ARGV: the lease, the body, the entry's lifetime in
-- milliseconds.
-- Returns 1 if the body was stored, else 0.
local epoch = redis.call('GET', KEYS[1])
if not epoch or redis.call('GET', KEYS[3]) ~= ARGV[1] or string.sub(ARGV[1], 1, #epoch) ~= epoch then
    return 0
end
redis.call('HSET', KEYS[2], 'since', epoch, 'body', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
