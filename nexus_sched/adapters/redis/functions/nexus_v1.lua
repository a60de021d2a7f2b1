#!lua name=nexus_v1
-- The shard protocol, version 1. Laws of this file:
--   1. Validate everything, then write: an error after the first write would not roll back.
--   2. No policy: what should happen is decided by the leader and arrives as arguments.
--   3. Bounded work: the caller sends at most 256 tasks a call, reap moves at most `limit`.
--   4. All keys start with the prefix ARGV[1] = "{nx:<pool>:<n>}", the hash tag of the shard.
--   5. Ids of inbox and journal entries come from the journal's sequence, so the leader knows them
--      without waiting; ids of facts are the stream's own.
--   6. REVISION grows with every release that changes this text. A later one serves every caller of an earlier one: it
--      adds, and takes nothing away. What cannot be kept is a new protocol, in a library and under functions of its own.
-- Keys and fields are described in docs/reference/protocol.md. Every function's twin in plain Python
-- is nexus_sched/adapters/memory/shard.py; one conformance suite holds both to the same answers.

local REVISION = 1 -- read from this line by whoever decides which of two texts stays
local PROTOCOL = 1 -- of the shards that it may lead
local QUEUED, RUNNING, FINISHED, DEAD, CANCELLED = 'Q', 'R', 'F', 'D', 'C'
local PRIORITY_DEFAULT = '5' -- of a record that names no other

-- The journal's sequence, or nil if the caller does not hold the lease of `epoch` under `nonce`.
local function fence(meta, epoch, nonce)
  local held = redis.call('HMGET', meta, 'epoch', 'nonce', 'seq')
  if held[1] ~= epoch or held[2] ~= nonce then return nil end
  return tonumber(held[3] or '0')
end

-- Publishes the end of a task to the submitter's channel, if it named one.
-- Message: "<task id> <outcome> <1|0>[result]"; 0 means: fetch the result from r:<id>.
local INLINE_RESULT_BYTES_MAX = 8192
local function announce(reply, id, outcome, result)
  if not reply or reply == '' then return end
  local message = id .. ' ' .. outcome .. ' '
  if #result <= INLINE_RESULT_BYTES_MAX then message = message .. '1' .. result else message = message .. '0' end
  redis.call('PUBLISH', 'nexus:done:' .. reply, message)
end

-- The same, or, where a replica has to have the end first, a mark: `tell` announces it then, once.
local function announce_when_due(later, task, reply, id, outcome, result)
  if not later then
    announce(reply, id, outcome, result)
  elseif reply and reply ~= '' then
    redis.call('HSET', task, 'u', '1')
  end
end

-- Tells the leader that only the pointer of a task was left, and is gone now: a fact without measurements. Whoever takes
-- a pointer away without ending or returning its task says so, for the leader counts on it: a store that went back in
-- time may hold an end that its leader has forgotten, or hand out what has ended.
local function vanish(P, worker, id, attempt)
  redis.call('XADD', P .. ':res', '*', 'i', id, 'w', worker, 'a', attempt, 'f', '')
end

-- The lowest attempt that may start once `attempt` is over; it never goes down.
local function next_attempt(attempt, lowest)
  return tostring(math.max(tonumber(attempt) + 1, tonumber(lowest or '0')))
end

-- Takes a task back from an inbox into q:r, unless it has ended. Returns 1 if it was taken back.
-- The next attempt number becomes the lowest that may start, so a delayed start is refused. Of a task that runs
-- elsewhere as well (a copy) only the pointer goes.
local function reclaim(P, worker, entry, id, attempt, why, started_too)
  local task = P .. ':t:' .. id
  local t = redis.call('HMGET', task, 's', 'w', 'a', 'm')
  local started = t[1] == RUNNING and t[2] == worker and t[3] == attempt
  if started and not started_too then return 0 end
  local there = redis.call('XDEL', P .. ':i:' .. worker, entry)
  if there == 0 then return 0 end
  if not (t[1] == QUEUED or started) then
    vanish(P, worker, id, attempt)
    return 0
  end
  redis.call('HSET', task, 's', QUEUED, 'm', next_attempt(attempt, t[4]))
  redis.call('XADD', P .. ':q:r', '*', 'i', id, 'a', attempt, 'w', worker, 'y', why, 'n', started and '1' or '0')
  return 1
end

-- Reclaims up to `limit` entries of an inbox; control messages are dropped with it.
local function reclaim_inbox(P, worker, why, limit, which)
  local moved = 0
  for _, item in ipairs(redis.call('XRANGE', P .. ':i:' .. worker, '-', '+', 'COUNT', limit)) do
    local f = item[2]
    if f[1] == 'i' then
      if which == 'all' then
        moved = moved + reclaim(P, worker, item[1], f[2], f[4], why, true)
      else
        local t = redis.call('HMGET', P .. ':t:' .. f[2], 's', 'w', 'a')
        if t[1] == RUNNING and t[2] == worker and t[3] == f[4] then
          moved = moved + reclaim(P, worker, item[1], f[2], f[4], why, true)
        end
      end
    elseif which == 'all' then
      redis.call('XDEL', P .. ':i:' .. worker, item[1])
    end
  end
  return moved
end

-- How many ms until `tasks` more have left the queue, by what the leader predicts (`drain`, tasks a second); 1: it says
-- nothing. Negative, as it stands in the answer to whoever has to come back.
local RETRY_MS_MAX = 60000
local function busy(drain, tasks)
  if not drain or drain <= 0 then return -1 end
  return -math.max(2, math.min(RETRY_MS_MAX, math.ceil(1000 * tasks / drain)))
end

-- submit: P, length_max, bytes_max, reply, count, count * (id, class, spec, payload)
-- -> count * (1 accepted | 0 known already | -ms busy: come back in so many ms, -1 if nobody knows)
local function submit(keys, a)
  local P, length_max, bytes_max, reply, count = a[1], tonumber(a[2]), tonumber(a[3]), a[4], tonumber(a[5])
  if not count or #a ~= 5 + 4 * count then return redis.error_reply('NXARGS submit: wrong count') end
  for at = 6, #a, 4 do
    if #a[at] > 128 or not a[at]:find('^[%w._:-]+$') then return redis.error_reply('NXARGS submit: task id') end
    if not a[at + 1]:find('^%d$') then return redis.error_reply('NXARGS submit: priority') end
  end
  local m = redis.call('HMGET', keys[1], 'bytes', 'drain')
  local bytes, drain = tonumber(m[1] or '0'), tonumber(m[2] or '0')
  local added, refused, lengths, answers = 0, 0, {}, {}
  for k = 1, count do
    local at = 2 + 4 * k
    local id, class, spec, payload = a[at], a[at + 1], a[at + 2], a[at + 3]
    local task, queue = P .. ':t:' .. id, P .. ':q:' .. class
    if not lengths[class] then lengths[class] = redis.call('XLEN', queue) end
    if redis.call('EXISTS', task) == 1 then
      answers[k] = 0
    elseif lengths[class] >= length_max or (#payload > 0 and bytes + added + #payload > bytes_max) then
      refused = refused + 1
      answers[k] = busy(drain, refused)
    else
      local size = tostring(#payload)
      if reply == '' then redis.call('HSET', task, 's', QUEUED, 'b', size)
      else redis.call('HSET', task, 's', QUEUED, 'b', size, 'y', reply) end
      if class ~= PRIORITY_DEFAULT then redis.call('HSET', task, 'c', class) end
      -- the envelope a worker gets at its start: 4 bytes of length (big endian), spec, payload
      redis.call('SET', P .. ':p:' .. id, struct.pack('>I4', #spec) .. spec .. payload)
      redis.call('XADD', queue, '*', 'i', id, 'm', spec, 'b', size)
      lengths[class] = lengths[class] + 1
      added = added + #payload
      answers[k] = 1
    end
  end
  if added > 0 then redis.call('HINCRBY', keys[1], 'bytes', added) end
  return answers
end

-- acquire: P, owner, nonce, epoch seen, counter seen[, durability level, ms a replica may take] -> {1, epoch, seq} | {0, epoch, counter, owner}
-- A lease is taken if it is free, mine, or has stood still since it was seen (the caller's own clock). What a later
-- protocol has written is not led by an earlier one.
local function acquire(keys, a)
  local meta = keys[1]
  local m = redis.call('HMGET', meta, 'epoch', 'owner', 'rc', 'seq', 'format')
  if tonumber(m[5] or PROTOCOL) > PROTOCOL then
    return redis.error_reply('NXPROTOCOL the shard is kept by protocol ' .. m[5] .. ', and this is ' .. PROTOCOL)
  end
  local free = (not m[2]) or m[2] == '' or m[2] == a[2] or (m[1] == a[4] and m[3] == a[5])
  if not free then return {0, m[1], m[3], m[2]} end
  local epoch = tonumber(m[1] or '0') + 1
  redis.call('HSET', meta, 'epoch', epoch, 'owner', a[2], 'nonce', a[3], 'rc', 0, 'format', PROTOCOL)
  redis.call('HSETNX', meta, 'seq', 0)
  if a[7] then redis.call('HSET', meta, 'durability', a[6], 'replica_ms', a[7]) end
  return {1, tostring(epoch), m[4] or '0'}
end

-- renew: P, epoch, nonce -> 1 | 0
local function renew(keys, a)
  if not fence(keys[1], a[2], a[3]) then return 0 end
  redis.call('HINCRBY', keys[1], 'rc', 1)
  return 1
end

-- release: P, epoch, nonce -> 1 | 0
local function release(keys, a)
  if not fence(keys[1], a[2], a[3]) then return 0 end
  redis.call('HSET', keys[1], 'owner', '')
  return 1
end

-- Removes a dead letter, and its task if it died of this.
local function discard(P, entry, id, reason)
  local t = id ~= '' and redis.call('HMGET', P .. ':t:' .. id, 's', 'o') or {}
  if t[1] == DEAD and t[2] == reason then redis.call('DEL', P .. ':t:' .. id, P .. ':p:' .. id) end
  redis.call('XDEL', P .. ':dead', entry)
end

-- Writes a dead letter. They are bounded: the oldest one gives way, and that is counted.
local DEAD_LETTERS_MAX = 10000
local function bury(P, id, attempt, reason, worker, detail)
  local dead = P .. ':dead'
  redis.call('XADD', dead, '*', 'i', id, 'a', attempt, 'y', reason, 'w', worker, 'd', detail)
  if redis.call('XLEN', dead) <= DEAD_LETTERS_MAX then return end
  local oldest = redis.call('XRANGE', dead, '-', '+', 'COUNT', 1)[1]
  local fields = oldest[2]
  discard(P, oldest[1], fields[2], fields[6])
  redis.call('HINCRBY', P .. ':meta', 'dead_dropped', 1)
end

-- Ends a task without a result. Returns false if it has ended before, by whatever overtook this.
local function end_task(P, id, state, outcome, ttl, later)
  local task = P .. ':t:' .. id
  local t = redis.call('HMGET', task, 's', 'y', 'b')
  if not t[1] then return true end
  if not (t[1] == QUEUED or t[1] == RUNNING) then return false end
  local bytes = tonumber(t[3] or '0')
  if bytes > 0 then redis.call('HINCRBY', P .. ':meta', 'bytes', -bytes) end
  redis.call('HSET', task, 's', state, 'o', outcome)
  if state == CANCELLED then -- a dead letter keeps its payload, so that it can be sent again
    redis.call('DEL', P .. ':p:' .. id)
    redis.call('EXPIRE', task, ttl)
  end
  announce_when_due(later, task, t[2], id, outcome, '')
  return true
end

-- Keeps an estimate with a live task, and tells it to the submitter by the message of an end with outcome `eta`.
local function estimate(P, id, eta)
  local task = P .. ':t:' .. id
  local t = redis.call('HMGET', task, 's', 'y')
  if not (t[1] == QUEUED or t[1] == RUNNING) then return end
  redis.call('HSET', task, 'e', eta)
  announce(t[2], id, 'eta', eta)
end

-- How long an answer waits for whoever asked.
local ANSWER_TTL_S = 60

-- commit: P, epoch, nonce, seq, turn, publish (1 and 3: dispatches too; 2 and 3: ends are told by `tell`), ttl,
-- then counted sections:
--   trims     n * (stream, lowest id kept)
--   removals  n streams * (stream, m, m * entry)
--   dispatch  n * (worker, id, attempt)
--   ends      n * ('D'|'C', id, attempt, reason, worker, detail)
--   retracts  n * (worker, entry, id, attempt)
--   stops     n * (worker, id, attempt, 'stop' or 'preempt')
-- and, only if there are any (an engine that nobody asks sends neither):
--   estimates n * (id, eta)
--   answers   n * (reply, blob)
-- -> {'OK', seq} | {'FENCED'} | {'SEQ', seq}
local function commit(keys, a)
  local P, meta = a[1], keys[1]
  local seq = fence(meta, a[2], a[3])
  if not seq then return {'FENCED'} end
  if seq ~= tonumber(a[4]) then return {'SEQ', seq} end
  local turn, publish, later, ttl = a[5], a[6] == '1' or a[6] == '3', a[6] == '2' or a[6] == '3', a[7]
  local at = 8
  local function take()
    local value = a[at]
    at = at + 1
    return value
  end
  local after = seq + 1
  local index = 0
  for _ = 1, tonumber(take()) do
    local stream = take()
    redis.call('XTRIM', P .. ':' .. stream, 'MINID', take())
  end
  for _ = 1, tonumber(take()) do
    local stream, count = take(), tonumber(take())
    if count > 0 then redis.call('XDEL', P .. ':' .. stream, unpack(a, at, at + count - 1)) end
    at = at + count
  end
  for _ = 1, tonumber(take()) do
    local worker, id, attempt = a[at], a[at + 1], a[at + 2]
    at = at + 3
    redis.call('XADD', P .. ':i:' .. worker, after .. '-' .. index, 'i', id, 'a', attempt)
    index = index + 1
    if publish then
      redis.call('PUBLISH', 'nexus:dispatch:' .. worker, '{"task_id":"' .. id .. '","attempt":' .. attempt .. '}')
    end
  end
  for _ = 1, tonumber(take()) do
    local state, id, attempt, reason, worker, detail = a[at], a[at + 1], a[at + 2], a[at + 3], a[at + 4], a[at + 5]
    at = at + 6
    local ended = id == '' or end_task(P, id, state, reason, ttl, later)
    if ended and state == DEAD then bury(P, id, attempt, reason, worker, detail) end
  end
  for _ = 1, tonumber(take()) do
    reclaim(P, a[at], a[at + 1], a[at + 2], a[at + 3], 'retracted', false)
    at = at + 4
  end
  for _ = 1, tonumber(take()) do
    redis.call('XADD', P .. ':i:' .. a[at], after .. '-' .. index, 'c', a[at + 3], 'i', a[at + 1], 'a', a[at + 2])
    index = index + 1
    at = at + 4
  end
  if a[at] then
    for _ = 1, tonumber(take()) do estimate(P, take(), take()) end
    for _ = 1, tonumber(take()) do
      local list = P .. ':x:' .. take()
      redis.call('RPUSH', list, take())
      redis.call('EXPIRE', list, ANSWER_TTL_S)
    end
  end
  redis.call('XADD', P .. ':ev', after .. '-0', 't', turn)
  redis.call('HSET', meta, 'seq', after)
  return {'OK', after}
end

-- retract: P, epoch, nonce, n * (worker, entry, id, attempt) -> n * (1 | 0)
local function retract(keys, a)
  if not fence(keys[1], a[2], a[3]) then return {'FENCED'} end
  local taken = {}
  for at = 4, #a, 4 do
    taken[#taken + 1] = reclaim(a[1], a[at], a[at + 1], a[at + 2], a[at + 3], 'retracted', false)
  end
  return taken
end

-- register: P, worker, offer -> incarnation
-- What the former incarnation had started is reclaimed; what it had not stays in the inbox.
local function register(keys, a)
  local P, worker = a[1], a[2]
  local incarnation = redis.call('HINCRBY', P .. ':w:' .. worker, 'inc', 1)
  redis.call('HSET', P .. ':w:' .. worker, 's', 'UP', 'f', a[3])
  redis.call('ZADD', P .. ':wk', incarnation * 4294967296, worker)
  reclaim_inbox(P, worker, 'worker-restarted', 10000, 'started')
  redis.call('XADD', P .. ':rep', '*', 'k', 'join', 'w', worker, 'n', incarnation, 'f', a[3])
  return incarnation
end

-- leave: P, worker, incarnation -> {'OK', moved} | {'FENCED'}; everything it holds is reclaimed.
local function leave(keys, a)
  local P, worker = a[1], a[2]
  local w = redis.call('HMGET', P .. ':w:' .. worker, 'inc', 's')
  if w[1] ~= a[3] or w[2] ~= 'UP' then return {'FENCED'} end
  local moved = reclaim_inbox(P, worker, 'worker-left', 10000, 'all')
  redis.call('HSET', P .. ':w:' .. worker, 's', 'LEFT')
  redis.call('ZREM', P .. ':wk', worker)
  redis.call('XADD', P .. ':rep', '*', 'k', 'left', 'w', worker, 'n', a[3], 'f', '')
  return {'OK', moved}
end

-- reap: P, epoch, nonce, worker, heartbeat seen, limit -> {'OK', moved, left} | {'ALIVE'} | {'FENCED'}
local function reap(keys, a)
  local P, worker = a[1], a[4]
  if not fence(keys[1], a[2], a[3]) then return {'FENCED'} end
  local record = P .. ':w:' .. worker
  local beat = redis.call('ZSCORE', P .. ':wk', worker)
  if beat then
    if tonumber(beat) ~= tonumber(a[5]) then return {'ALIVE'} end
    local incarnation = redis.call('HGET', record, 'inc') or '0'
    redis.call('HINCRBY', record, 'inc', 1)
    redis.call('HSET', record, 's', 'LOST')
    redis.call('ZREM', P .. ':wk', worker)
    redis.call('XADD', P .. ':rep', '*', 'k', 'lost', 'w', worker, 'n', incarnation, 'f', '')
  elseif redis.call('HGET', record, 's') == 'UP' then
    return {'ALIVE'}
  end
  local moved = reclaim_inbox(P, worker, 'worker-lost', tonumber(a[6]), 'all')
  return {'OK', moved, redis.call('XLEN', P .. ':i:' .. worker)}
end

-- What an inbox entry is to this attempt: its pointer ('i'), a control message about it ('c'), or nothing. A store that
-- went back in time gives ids anew, so a worker may name an entry under which another task lies by now. What is no
-- entry id is nothing as well: a worker's mistake must not stop the results behind it.
local function lies(P, worker, entry, id, attempt)
  local item = redis.pcall('XRANGE', P .. ':i:' .. worker, entry, entry)[1]
  if not item or item[1] ~= entry then return nil end
  local f = item[2]
  if f[1] == 'i' then return f[2] == id and f[4] == attempt and 'i' end
  return f[4] == id and f[6] == attempt and 'c'
end

-- Removes an entry that is this attempt's; 1 if it was its pointer.
local function drop(P, worker, entry, id, attempt)
  local what = lies(P, worker, entry, id, attempt)
  if what then redis.call('XDEL', P .. ':i:' .. worker, entry) end
  return what == 'i' and 1 or 0
end

-- One completion of a live worker -> the code of `model.outcome.Receipt`, payload bytes set free.
local function complete(P, worker, ttl, id, attempt, entry, final, outcome, fact, result)
  local task = P .. ':t:' .. id
  local t = redis.call('HMGET', task, 's', 'w', 'a', 'y', 'b', 'm', 'd')
  local state = t[1]
  local mine = t[2] == worker and t[3] == attempt and (state == RUNNING or state == FINISHED)
  local there
  if mine and state == RUNNING and t[7] == entry then
    there = redis.call('XDEL', P .. ':i:' .. worker, entry) -- it was started from there
  else
    there = drop(P, worker, entry, id, attempt)
  end
  if not (state == QUEUED or state == RUNNING) then
    if there == 1 then vanish(P, worker, id, attempt) end
    return mine and 2 or 0, 0
  end
  if final == '0' then
    -- another attempt is wanted; only the run that owns the task may send it back
    if not (mine or (state == QUEUED and there == 1)) then
      if there == 1 then vanish(P, worker, id, attempt) end -- a copy of it goes on
      return 0, 0
    end
    redis.call('HSET', task, 's', QUEUED, 'm', next_attempt(attempt, t[6]))
    local why = outcome == 'preempted' and outcome or 'run-failed'
    redis.call('XADD', P .. ':q:r', '*', 'i', id, 'a', attempt, 'w', worker, 'y', why, 'n', '1')
    return 4, 0
  end
  redis.call('HSET', task, 's', FINISHED, 'w', worker, 'a', attempt, 'o', outcome, 'd', entry)
  redis.call('EXPIRE', task, ttl)
  redis.call('DEL', P .. ':p:' .. id)
  if result ~= '' then redis.call('SET', P .. ':r:' .. id, result, 'EX', ttl) end
  redis.call('XADD', P .. ':res', '*', 'i', id, 'w', worker, 'a', attempt, 'f', fact)
  announce_when_due(final == '2', task, t[4], id, outcome, result)
  return (mine and there == 1) and 1 or 3, tonumber(t[5] or '0')
end

-- step: P, worker, incarnation, ttl, report,
--       count, count * (id, attempt, entry, final, outcome, fact, result),
--       n * (id, attempt, entry)
-- -> {'OK', count * receipt, n * (envelope | false)} | {'FENCED'}
-- `final`: 0 another attempt is wanted, 1 no, 2 no, and `tell` announces the end.
-- The one call a worker makes: results, next starts and heartbeat together.
local function step(keys, a)
  local P, worker, count, at = a[1], a[2], tonumber(a[6]), 7
  if not count or count < 0 or #a < 6 + 7 * count or (#a - 6 - 7 * count) % 3 ~= 0 then
    return redis.error_reply('NXARGS step: wrong count')
  end
  for k = 1, count do
    if not a[7 * k + 1]:find('^%d+$') then return redis.error_reply('NXARGS step: attempt') end
  end
  for k = 7 + 7 * count, #a, 3 do
    if not a[k + 1]:find('^%d+$') then return redis.error_reply('NXARGS step: attempt') end
  end
  local w = redis.call('HMGET', P .. ':w:' .. worker, 'inc', 's')
  if w[1] ~= a[3] or w[2] ~= 'UP' then return {'FENCED'} end
  redis.call('ZINCRBY', P .. ':wk', 1, worker)
  if a[5] ~= '' then redis.call('XADD', P .. ':rep', '*', 'k', 'report', 'w', worker, 'n', a[3], 'f', a[5]) end
  local receipts, starts, freed = {}, {}, 0
  for k = 1, count do
    local bytes
    receipts[k], bytes = complete(
      P, worker, a[4], a[at], a[at + 1], a[at + 2], a[at + 3], a[at + 4], a[at + 5], a[at + 6])
    freed = freed + bytes
    at = at + 7
  end
  if freed > 0 then redis.call('HINCRBY', keys[1], 'bytes', -freed) end
  while at <= #a do
    local id, attempt = a[at], a[at + 1]
    local task = P .. ':t:' .. id
    local t = redis.call('HMGET', task, 's', 'w', 'a', 'm')
    local fresh = t[1] == QUEUED and tonumber(attempt) >= tonumber(t[4] or '0')
    local again = t[1] == RUNNING and t[2] == worker and t[3] == attempt
    -- a higher attempt of a running task is a copy of it, and the first completion wins
    fresh = fresh or (t[1] == RUNNING and tonumber(attempt) > tonumber(t[3]))
    fresh = fresh and lies(P, worker, a[at + 2], id, attempt) == 'i'
    local envelope = (fresh or again) and redis.call('GET', P .. ':p:' .. id)
    if envelope then
      if fresh then redis.call('HSET', task, 's', RUNNING, 'w', worker, 'a', attempt, 'd', a[at + 2]) end
    else
      local there = drop(P, worker, a[at + 2], id, attempt)
      if (fresh or again) and end_task(P, id, DEAD, 'payload-lost', '0') then
        bury(P, id, attempt, 'payload-lost', worker, '')
      end
      if fresh or again or there == 1 then vanish(P, worker, id, attempt) end
    end
    starts[#starts + 1] = envelope
    at = at + 3
  end
  return {'OK', receipts, starts}
end

-- intake: P, epoch, nonce, stream, cursor, n * (reason, entry, detail) -> {'OK'} | {'FENCED'}
-- Remembers how far a foreign stream was taken in; what could not be understood becomes a dead letter.
local function intake(keys, a)
  if not fence(keys[1], a[2], a[3]) then return {'FENCED'} end
  if (#a - 5) % 3 ~= 0 then return redis.error_reply('NXARGS intake: wrong count') end
  for at = 6, #a, 3 do
    bury(a[1], '', '0', a[at], '', a[4] .. ' ' .. a[at + 1] .. ': ' .. a[at + 2])
  end
  redis.call('HSET', keys[1], 'intake:' .. a[4], a[5])
  return {'OK'}
end

-- Everything but submitting goes on when the server's memory is full, a change of leader included.
local draining = {'allow-oom'}
redis.register_function('nx_submit', submit)
redis.register_function{function_name = 'nx_acquire', callback = acquire, flags = draining}
redis.register_function{function_name = 'nx_renew', callback = renew, flags = draining}
redis.register_function{function_name = 'nx_release', callback = release, flags = draining}
redis.register_function{function_name = 'nx_commit', callback = commit, flags = draining}
redis.register_function{function_name = 'nx_retract', callback = retract, flags = draining}
redis.register_function{function_name = 'nx_register', callback = register, flags = draining}
redis.register_function{function_name = 'nx_leave', callback = leave, flags = draining}
redis.register_function{function_name = 'nx_reap', callback = reap, flags = draining}
redis.register_function{function_name = 'nx_step', callback = step, flags = draining}
redis.register_function{function_name = 'nx_intake', callback = intake, flags = draining}
