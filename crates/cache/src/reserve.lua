-- When one answer of a tenant may begin, by two limits at once. The generic cell rate algorithm: a key holds when its
-- limit would be as good as new; whoever comes more than the tolerance before that waits. The rule is that of `local_limiter.rs`.
-- KEYS: the tenant's limit, that of all. ARGV: interval and tolerance of each, and 0 for who waits for a turn of the
-- tenant, 1 for who has it, 2 for who comes again and wants none kept. Times are microseconds of Redis' own clock.
-- Returns {0 now | 1 the tenant's turn | 2 all are too many, wait}.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function mark(key)
    return math.max(now, tonumber(redis.call('GET', key) or 0))
end

local function take(key, mark, interval)
    local at = mark + interval
    redis.call('SET', key, string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000))
end

local wish = ARGV[5]
local tenant = mark(KEYS[1])
local tenant_wait = tenant - ARGV[2] - now
if wish == '0' then
    take(KEYS[1], tenant, ARGV[1])
end
if wish ~= '1' and tenant_wait > 0 then
    return { 1, tenant_wait }
end
local all = mark(KEYS[2])
local wait = all - ARGV[4] - now
if wait > 0 then
    return { 2, wait }
end
if wish == '2' then
    take(KEYS[1], tenant, ARGV[1])
end
take(KEYS[2], all, ARGV[3])
return { 0, 0 }
