-- Keeps what was read under a lease, unless it was taken back since: then it may have changed after it was read.
-- KEYS: since when what is kept counts, what is kept, its lease. ARGV: the lease, what was read, milliseconds to keep it.
local since = redis.call('GET', KEYS[1])
if not since or redis.call('GET', KEYS[3]) ~= ARGV[1] or string.sub(ARGV[1], 1, #since) ~= since then
    return 0
end
redis.call('HSET', KEYS[2], 'since', since, 'body', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
