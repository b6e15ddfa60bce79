-- Counts one request of an address by the generic cell rate algorithm. The key holds the theoretical arrival
-- time (TAT): the time at which the limit is fully restored. A request earlier than TAT - tolerance is
-- refused and not counted.
-- KEYS: the address. ARGV: interval and tolerance, in microseconds of Redis's own clock.
-- Returns the time to wait; 0 if the request was counted.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local tat = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local wait = tat - ARGV[2] - now
if wait > 0 then
    return wait
end
local next_tat = tat + ARGV[1]
redis.call('SET', KEYS[1], string.format('%.0f', next_tat), 'PX', math.ceil((next_tat - now) / 1000))
return 0
