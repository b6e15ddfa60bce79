-- Decides when one reply of a tenant may start, by a limit per tenant and a global one. Generic cell rate
-- algorithm: each key holds the theoretical arrival time (TAT), at which its limit is fully restored. A reply
-- earlier than TAT - tolerance waits. `local_limiter.rs` follows the same rule.
-- KEYS: the tenant's limit, the global limit. ARGV: interval and tolerance of each, then the mode: 0 reserves
-- a slot of the tenant, 1 uses a reserved one, 2 takes one now or none. Times are microseconds of Redis's own
-- clock.
-- Returns {0 allowed | 1 queued by the tenant's limit | 2 refused by the global limit, wait}.
local RESERVE, RESERVED, TRY_NOW = '0', '1', '2'
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function tat(key)
    return math.max(now, tonumber(redis.call('GET', key) or 0))
end

local function advance(key, tat, interval)
    local next_tat = tat + interval
    redis.call('SET', key, string.format('%.0f', next_tat), 'PX', math.ceil((next_tat - now) / 1000))
end

local mode = ARGV[5]
local tenant = tat(KEYS[1])
local tenant_wait = tenant - ARGV[2] - now
if mode == RESERVE then
    advance(KEYS[1], tenant, ARGV[1])
end
if mode ~= RESERVED and tenant_wait > 0 then
    return { 1, tenant_wait }
end
local global = tat(KEYS[2])
local global_wait = global - ARGV[4] - now
if global_wait > 0 then
    return { 2, global_wait }
end
if mode == TRY_NOW then
    advance(KEYS[1], tenant, ARGV[1])
end
advance(KEYS[2], global, ARGV[3])
return { 0, 0 }
