-- When one answer of a tenant may begin, by two limits at once. The generic cell rate algorithm: a key holds when its
-- limit would be as good as new; whoever comes more than the tolerance before that waits. The rule is that of `own.rs`.
-- KEYS: the tenant's limit, that of all. ARGV: interval and tolerance of each, and whether the tenant's turn is taken.
-- Times are microseconds of Redis' own clock. Returns {0 now | 1 the tenant's turn, kept | 2 all are too many, wait}.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function mark(key)
    return math.max(now, tonumber(redis.call('GET', key) or 0))
end

local function take(key, mark, interval)
    local at = mark + interval
    redis.call('SET', key, string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000))
end

if ARGV[5] == '0' then
    local tenant = mark(KEYS[1])
    local wait = tenant - ARGV[2] - now
    take(KEYS[1], tenant, ARGV[1])
    if wait > 0 then
        return { 1, wait }
    end
end
local all = mark(KEYS[2])
local wait = all - ARGV[4] - now
if wait > 0 then
    return { 2, wait }
end
take(KEYS[2], all, ARGV[3])
return { 0, 0 }
