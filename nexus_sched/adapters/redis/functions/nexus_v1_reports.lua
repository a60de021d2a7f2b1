-- What a gateway says for many workers at once. A part of the library nexus_v1, behind nexus_v1.lua and under its laws; its
-- twin is `report` of nexus_sched/adapters/memory/shard.py.

local REPORT_WORKERS_MAX = 256

-- report: P, pack, n * (worker, incarnation) -> n * (1 | 0: not the live incarnation)
-- A sign of life of each of them, and at most one entry: `pack` is the document of those that said something new, or empty.
local function report(keys, a)
  local P, pack = a[1], a[2]
  if #a % 2 ~= 0 or #a > 2 + 2 * REPORT_WORKERS_MAX then return redis.error_reply('NXARGS report: wrong count') end
  local answers, live = {}, false
  for at = 3, #a, 2 do
    local w = redis.call('HMGET', P .. ':w:' .. a[at], 'inc', 's')
    if w[1] == a[at + 1] and w[2] == 'UP' then
      redis.call('ZINCRBY', P .. ':wk', 1, a[at])
      answers[#answers + 1] = 1
      live = true
    else
      answers[#answers + 1] = 0
    end
  end
  if live and pack ~= '' then redis.call('XADD', P .. ':rep', '*', 'k', 'pack', 'f', pack) end
  return answers
end

redis.register_function{function_name = 'nx_report', callback = report, flags = {'allow-oom'}}
