-- Part of the library nexus_v1: ends that may be announced only once a replica has them.
-- The call that ended the task left a mark with it and announced nothing; who made that call has waited since.

-- tell: P, n * id -> how many were announced
-- Announces ends that were kept back until a replica had them, each once. Servers without replicas need none of it.
local function tell(keys, a)
  local P, told = a[1], 0
  for at = 2, #a do
    local task = P .. ':t:' .. a[at]
    if redis.call('HDEL', task, 'u') == 1 then
      local t = redis.call('HMGET', task, 's', 'y', 'o')
      if not (t[1] == QUEUED or t[1] == RUNNING) then -- it may have been sent again
        local result = t[1] == FINISHED and redis.call('GET', P .. ':r:' .. a[at])
        announce(t[2], a[at], t[3], result or '')
        told = told + 1
      end
    end
  end
  return told
end

redis.register_function{function_name = 'nx_tell', callback = tell, flags = draining}
