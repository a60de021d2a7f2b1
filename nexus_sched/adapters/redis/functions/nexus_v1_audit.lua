-- The trail of what people changed: a chain of records, each appended to the very one that its writer saw. A part of the
-- library nexus_v1, under its laws; its twin is nexus_sched/adapters/memory/audit.py. What a record says, and how the
-- digests hang together, is the writers' matter (nexus_sched/control/record.py).

-- audit: P, number, digest of the former record, record, digest, signature, records kept -> number, digest of the newest
-- The record is appended if and only if the answer is its own number and digest.
local function audit(keys, a)
  local P, number, kept = a[1], tonumber(a[2]), tonumber(a[7])
  if #a ~= 7 or not number or number < 1 or not kept or kept < 1 then
    return redis.error_reply('NXARGS audit: number, kept')
  end
  local head = redis.call('HMGET', keys[1], 'an', 'ah')
  local newest, digest = tonumber(head[1] or '0'), head[2] or ''
  if newest ~= number - 1 or digest ~= a[3] then return {newest, digest} end
  redis.call('XADD', P .. ':audit', 'MAXLEN', kept, a[2] .. '-0', 'r', a[4], 'h', a[5], 's', a[6])
  redis.call('HSET', keys[1], 'an', a[2], 'ah', a[5])
  return {number, a[5]}
end

redis.register_function('nx_audit', audit)
