-- What operators do with dead letters. A part of the library nexus_v1, behind nexus_v1.lua and under its laws; its twin is
-- nexus_sched/adapters/memory/letters.py. No lease is needed: both are repeatable, and a task that is sent again comes to
-- the leader as a submission does.

-- What operators did by hand, for as long as anybody may ask: the newest so many calls.
local OPERATIONS_KEPT = 1000
local function remember(P, kind, count, reason, actor)
  redis.call('XADD', P .. ':ops', 'MAXLEN', OPERATIONS_KEPT, '*', 'k', kind, 'n', count, 'y', reason, 'w', actor)
end

-- The fields of a dead letter, or nil if there is none under this entry for this task.
local function letter_of(P, entry, id)
  local found = redis.call('XRANGE', P .. ':dead', entry, entry)[1]
  if not found then return nil end
  local fields = {}
  for k = 1, #found[2], 2 do fields[found[2][k]] = found[2][k + 1] end
  if fields.i ~= id then return nil end
  return fields
end

-- Entries of letters, checked before anything is written; 256 at most in one call.
local function letters_given(a, from)
  if #a < from or (#a - from + 1) % 2 ~= 0 or #a - from + 1 > 512 then return false end
  for at = from, #a, 2 do
    if not a[at]:find('^%d+%-%d+$') then return false end
  end
  return true
end

-- The description of a task that is sent again, with how many attempts it had before that: the last key of the map. What
-- is no map stays as it is; nobody can run it.
local FORMER_KEY = '\175former_attempts\206' -- a string of 15 bytes, and what begins an unsigned integer of 4
local function sent_again(spec, attempts)
  local value = FORMER_KEY .. struct.pack('>I4', attempts)
  if spec:sub(-#value, -5) == FORMER_KEY then return spec:sub(1, -#value - 1) .. value end
  local head = spec:byte(1) or 0
  if head >= 128 and head < 143 then return string.char(head + 1) .. spec:sub(2) .. value end
  if head == 143 then return '\222\0\16' .. spec:sub(2) .. value end
  if head ~= 222 or #spec < 3 then return spec end
  return '\222' .. struct.pack('>I2', struct.unpack('>I2', spec, 2) + 1) .. spec:sub(4) .. value
end

-- redrive: P, length_max, bytes_max, reason, actor, n * (letter, id)
-- -> n * (1 queued | 2 queued before by this very letter | 0 no such letter | -1 not a dead task | -2 payload lost | -3 busy)
-- The task begins anew, with all its attempts before it, but their numbers count on: a start of a former one stays refused.
local function redrive(keys, a)
  local P, length_max, bytes_max = a[1], tonumber(a[2]), tonumber(a[3])
  if not length_max or not bytes_max or not letters_given(a, 6) then
    return redis.error_reply('NXARGS redrive: letters')
  end
  local bytes = tonumber(redis.call('HGET', keys[1], 'bytes') or '0')
  local added, queued, answers = 0, 0, {}
  for at = 6, #a, 2 do
    local entry, id = a[at], a[at + 1]
    local task, envelope = P .. ':t:' .. id, P .. ':p:' .. id
    local letter = letter_of(P, entry, id)
    local t = redis.call('HMGET', task, 's', 'c', 'a', 'm', 'b', 'v')
    local queue, size = P .. ':q:' .. (t[2] or PRIORITY_DEFAULT), tonumber(t[5] or '0')
    local answer
    if not letter then answer = (id ~= '' and t[6] == entry) and 2 or 0
    elseif id == '' or t[1] ~= DEAD then answer = -1
    elseif redis.call('EXISTS', envelope) == 0 then answer = -2
    elseif redis.call('XLEN', queue) >= length_max or (size > 0 and bytes + added + size > bytes_max) then answer = -3
    else
      local last = math.max(tonumber(t[3] or '0'), tonumber(t[4] or '0') - 1, tonumber(letter.a) or 0)
      local length = struct.unpack('>I4', redis.call('GETRANGE', envelope, 0, 3))
      local spec = sent_again(redis.call('GETRANGE', envelope, 4, 3 + length), last)
      local payload = redis.call('GETRANGE', envelope, 4 + length, -1)
      redis.call('SET', envelope, struct.pack('>I4', #spec) .. spec .. payload)
      redis.call('HDEL', task, 'o', 'e')
      redis.call('HSET', task, 's', QUEUED, 'm', tostring(last + 1), 'v', entry)
      redis.call('XADD', queue, '*', 'i', id, 'm', spec, 'b', tostring(size), 'a', tostring(last))
      redis.call('XDEL', P .. ':dead', entry)
      added, queued, answer = added + size, queued + 1, 1
    end
    answers[#answers + 1] = answer
  end
  if added > 0 then redis.call('HINCRBY', keys[1], 'bytes', added) end
  if queued > 0 then remember(P, 'redrive', queued, a[4], a[5]) end
  return answers
end

-- purge: P, reason, actor, n * (letter, id) -> n * (1 removed, with the task if it died of this | 0 no such letter)
local function purge(_, a)
  local P, removed, answers = a[1], 0, {}
  if not letters_given(a, 4) then return redis.error_reply('NXARGS purge: letters') end
  for at = 4, #a, 2 do
    local entry, id = a[at], a[at + 1]
    local letter = letter_of(P, entry, id)
    if letter then
      discard(P, entry, id, letter.y)
      removed = removed + 1
    end
    answers[#answers + 1] = letter and 1 or 0
  end
  if removed > 0 then remember(P, 'purge', removed, a[2], a[3]) end
  return answers
end

redis.register_function('nx_redrive', redrive)
redis.register_function{function_name = 'nx_purge', callback = purge, flags = draining}
