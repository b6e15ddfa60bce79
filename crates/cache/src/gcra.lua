-- Whether one more of an address is too many. The generic cell rate algorithm: the key holds when its limit would be as
-- good as new; whoever comes more than the tolerance before that is refused, and not counted.
-- KEYS: the address' limit. ARGV: interval and tolerance, in microseconds of Redis' own clock.
-- Returns how long to stay away; 0: it was counted.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local mark = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local wait = mark - ARGV[2] - now
if wait > 0 then
    return wait
end
local at = mark + ARGV[1]
redis.call('SET', KEYS[1], string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000))
return 0
