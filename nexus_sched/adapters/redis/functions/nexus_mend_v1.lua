#!lua name=nexus_mend_v1
-- The repairs of `nexus-sched fsck --repair`, a library of its own: nobody else needs it.
-- Law: each call checks again what was found, on the state of this very instant, and changes nothing if it no longer
-- holds (answer 0). Keys and fields are those of nexus_v1.lua. ARGV[1] is the prefix of the shard.

local QUEUED, RUNNING, FINISHED, DEAD = 'Q', 'R', 'F', 'D'

local function id_at(P, place, entry)
  local found = redis.call('XRANGE', P .. ':' .. place, entry, entry)[1]
  if not found then return nil end
  for k = 1, #found[2], 2 do
    if found[2][k] == 'c' then return nil end
    if found[2][k] == 'i' then return found[2][k + 1] end
  end
  return nil
end

local function is_live(state) return state == QUEUED or state == RUNNING end

local function vanish(P, worker, id, attempt)
  redis.call('XADD', P .. ':res', '*', 'i', id, 'w', worker, 'a', attempt, 'f', '')
end

-- Puts a live task at the end of its priority's queue, as a redriven one; its attempts count on.
local function submit_again(P, id, t)
  local envelope = P .. ':p:' .. id
  if redis.call('EXISTS', envelope) == 0 then return 0 end
  local last = math.max(tonumber(t[3] or '0'), tonumber(t[4] or '0') - 1)
  local length = struct.unpack('>I4', redis.call('GETRANGE', envelope, 0, 3))
  local spec = redis.call('GETRANGE', envelope, 4, 3 + length)
  redis.call('HSET', P .. ':t:' .. id, 's', QUEUED, 'm', tostring(last + 1))
  redis.call('XADD', P .. ':q:' .. (t[5] or '5'), '*', 'i', id, 'm', spec, 'b', t[6] or '0', 'a', tostring(last))
  return 1
end

-- pointer: P, place, entry, id, attempt, kept place, kept entry: of a task that is gone, has ended, or stands where it is kept
local function pointer(_, a)
  local P, place, entry, id = a[1], a[2], a[3], a[4]
  if id_at(P, place, entry) ~= id then return 0 end
  local state = redis.call('HGET', P .. ':t:' .. id, 's')
  local kept = a[6] ~= '' and a[6] .. a[7] ~= place .. entry and id_at(P, a[6], a[7]) == id
  if is_live(state) and not kept then return 0 end
  redis.call('XDEL', P .. ':' .. place, entry)
  if place:sub(1, 2) == 'i:' and not kept then vanish(P, place:sub(3), id, a[5]) end
  return 1
end

-- requeue: P, id, state, worker, attempt as they were seen, held place, held entry, held attempt of the scheduler
-- A live task without a pointer comes back: to the scheduler as one that was taken back from the worker where it
-- believes it (held place), else as a new one.
local function requeue(_, a)
  local P, id, place, entry = a[1], a[2], a[6], a[7]
  local task = P .. ':t:' .. id
  local t = redis.call('HMGET', task, 's', 'w', 'a', 'm', 'c', 'b')
  if not is_live(t[1]) or t[1] ~= a[3] or (t[2] or '') ~= a[4] or (t[3] or '0') ~= a[5] then return 0 end
  if place == '' then return submit_again(P, id, t) end
  if place:sub(1, 2) ~= 'i:' or id_at(P, place, entry) then return 0 end
  local attempt = a[8]
  local started = t[1] == RUNNING and t[3] == attempt and '1' or '0'
  local lowest = math.max(tonumber(attempt) + 1, tonumber(t[4] or '0'))
  redis.call('HSET', task, 's', QUEUED, 'm', tostring(lowest))
  redis.call('XADD', P .. ':q:r', '*', 'i', id, 'a', attempt, 'w', place:sub(3), 'y', 'worker-lost', 'n', started)
  return 1
end

-- reread: P, place, entry, id: a queued task whose pointer the scheduler has read past is queued anew
local function reread(_, a)
  local P, place, entry, id = a[1], a[2], a[3], a[4]
  local t = redis.call('HMGET', P .. ':t:' .. id, 's', 'w', 'a', 'm', 'c', 'b')
  if id_at(P, place, entry) ~= id or t[1] ~= QUEUED then return 0 end
  if submit_again(P, id, t) == 0 then return 0 end
  redis.call('XDEL', P .. ':' .. place, entry)
  return 1
end

-- orphan: P, 'p' or 'r', id: a payload or result of nobody
local function orphan(_, a)
  local P, kind, id = a[1], a[2], a[3]
  local state = redis.call('HGET', P .. ':t:' .. id, 's')
  local wanted = state == FINISHED
  if kind == 'p' then wanted = is_live(state) or state == DEAD end
  if wanted then return 0 end
  return redis.call('DEL', P .. ':' .. kind .. ':' .. id)
end

-- bytes: P, seen, right
local function bytes(keys, a)
  if (redis.call('HGET', keys[1], 'bytes') or '0') ~= a[2] then return 0 end
  redis.call('HSET', keys[1], 'bytes', a[3])
  return 1
end

-- inbox: P, worker: of nobody; at most 100 entries a call, whose tasks come back -> entries that were taken out
local function inbox(_, a)
  local P, worker = a[1], a[2]
  local key = P .. ':i:' .. worker
  if redis.call('EXISTS', P .. ':w:' .. worker) == 1 then return 0 end
  local items = redis.call('XRANGE', key, '-', '+', 'COUNT', 100)
  for _, item in ipairs(items) do
    local f = item[2]
    if f[1] == 'i' then
      local task = P .. ':t:' .. f[2]
      local t = redis.call('HMGET', task, 's', 'w', 'a', 'm')
      local started = t[1] == RUNNING and t[2] == worker and t[3] == f[4]
      if t[1] == QUEUED or started then
        local lowest = math.max(tonumber(f[4]) + 1, tonumber(t[4] or '0'))
        redis.call('HSET', task, 's', QUEUED, 'm', tostring(lowest))
        redis.call('XADD', P .. ':q:r', '*',
          'i', f[2], 'a', f[4], 'w', worker, 'y', 'worker-lost', 'n', started and '1' or '0')
      else
        vanish(P, worker, f[2], f[4])
      end
    end
    redis.call('XDEL', key, item[1])
  end
  if redis.call('XLEN', key) == 0 then redis.call('DEL', key) end
  return #items
end

-- letter: P, id: of a dead task that has none
local function letter(_, a)
  local t = redis.call('HMGET', a[1] .. ':t:' .. a[2], 's', 'a', 'o', 'w')
  if t[1] ~= DEAD then return 0 end
  redis.call('XADD', a[1] .. ':dead', '*',
    'i', a[2], 'a', t[2] or '0', 'y', t[3] or 'engine-error', 'w', t[4] or '', 'd', 'written by fsck')
  return 1
end

-- forget: P, worker, id, attempt: the scheduler holds a task whose record is gone or has ended
local function forget(_, a)
  if is_live(redis.call('HGET', a[1] .. ':t:' .. a[3], 's')) then return 0 end
  vanish(a[1], a[2], a[3], a[4])
  return 1
end

-- stray: P, seq: a snapshot that nothing refers to
local function stray(keys, a)
  local kept = redis.call('HMGET', keys[1], 'snap', 'snap_before')
  if kept[1] == a[2] or kept[2] == a[2] then return 0 end
  return redis.call('DEL', a[1] .. ':snap:' .. a[2])
end

local function register(name, callback)
  redis.register_function{function_name = 'nx_mend_' .. name, callback = callback, flags = {'allow-oom'}}
end
register('pointer', pointer)
register('requeue', requeue)
register('reread', reread)
register('orphan', orphan)
register('bytes', bytes)
register('inbox', inbox)
register('letter', letter)
register('forget', forget)
register('stray', stray)
