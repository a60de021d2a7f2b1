-- The journal behind snapshots and exporters. A part of the library nexus_v1, behind nexus_v1.lua and under its laws; its
-- twin is nexus_sched/adapters/memory/shard.py.

-- Keeps the two newest snapshots; the journal is cut behind the older of them, or behind the exporter if that is further
-- back, but never so far that more than `export_max` turns are left for it.
local function keep(P, meta, seq, blob)
  local kept = redis.call('HMGET', meta, 'snap', 'snap_before', 'export', 'export_max')
  if kept[1] ~= seq then
    if kept[2] then redis.call('DEL', P .. ':snap:' .. kept[2]) end
    if kept[1] then
      redis.call('HSET', meta, 'snap_before', kept[1])
      local cut = tonumber(kept[1])
      if kept[3] then cut = math.min(cut, math.max(tonumber(kept[3]), tonumber(seq) - tonumber(kept[4]))) end
      redis.call('XTRIM', P .. ':ev', 'MINID', string.format('%d-0', cut + 1))
    end
    redis.call('HSET', meta, 'snap', seq)
  end
  redis.call('SET', P .. ':snap:' .. seq, blob)
end

-- snapshot: P, epoch, nonce, seq, blob -> {'OK'} | {'FENCED'} | {'SEQ', seq}
-- A leader writes beside its turns: one that a standby has overtaken in the meantime is of no more use.
local function snapshot(keys, a)
  local seq = fence(keys[1], a[2], a[3])
  if not seq then return {'FENCED'} end
  if seq < tonumber(a[4]) then return {'SEQ', seq} end
  if tonumber(redis.call('HGET', keys[1], 'snap') or '0') <= tonumber(a[4]) then keep(a[1], keys[1], a[4], a[5]) end
  return {'OK'}
end

-- offer: P, seq, turn, blob -> {'OK'} | {'STALE'}
-- A snapshot by whoever follows the journal. No lease is needed: that the journal holds this very turn under
-- this number proves that the state belongs to its history.
local function offer(keys, a)
  local P, meta, id = a[1], keys[1], a[2] .. '-0'
  local entry = redis.call('XRANGE', P .. ':ev', id, id)[1]
  if not entry or entry[2][2] ~= a[3] then return {'STALE'} end
  if tonumber(redis.call('HGET', meta, 'snap') or '0') >= tonumber(a[2]) then return {'STALE'} end
  keep(P, meta, a[2], a[4])
  return {'OK'}
end

-- export: P, seq, turns_max -> the first turn that is still there
-- An exporter has everything up to turn `seq` and wants what follows kept, at most `turns_max` turns of it: one that died
-- must not fill the memory. No lease is needed, and 0 turns end it.
local EXPORT_TURNS_MAX = 100000
local function export(keys, a)
  local seq, most = tonumber(a[2]), tonumber(a[3])
  if not seq or seq < 0 or not most or most < 0 or most > EXPORT_TURNS_MAX then
    return redis.error_reply('NXARGS export: turns')
  end
  if most == 0 then redis.call('HDEL', keys[1], 'export', 'export_max')
  else redis.call('HSET', keys[1], 'export', a[2], 'export_max', a[3]) end
  local first = redis.call('XRANGE', a[1] .. ':ev', '-', '+', 'COUNT', 1)[1]
  if first then return tonumber(first[1]:match('^%d+')) end
  return tonumber(redis.call('HGET', keys[1], 'seq') or '0') + 1
end

-- history: P, id of the writes that the server holds -> the id that was noted before, or ''; the new one is noted
local function history(keys, a)
  local was = redis.call('HGET', keys[1], 'history') or ''
  if a[2] ~= '' and a[2] ~= was then redis.call('HSET', keys[1], 'history', a[2]) end
  return was
end

redis.register_function{function_name = 'nx_history', callback = history, flags = draining}
redis.register_function{function_name = 'nx_snapshot', callback = snapshot, flags = draining}
redis.register_function{function_name = 'nx_offer', callback = offer, flags = draining}
redis.register_function{function_name = 'nx_export', callback = export, flags = draining}
