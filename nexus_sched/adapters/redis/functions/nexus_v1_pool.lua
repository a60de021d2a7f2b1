-- What a pool with several shards knows as a whole: two keys of the hash tag {nx:<pool>}, beside those of its shards.
-- Here P is "{nx:<pool>}" and keys[1] is P .. ":shards", a hash: count, the number of shards, written once; early, 1 if
-- somebody may have submitted before the number was known, and so into shard 0.
-- P .. ":workers" is a hash: worker -> "<shard> <slots>".

-- settle: P, count wanted, or '' -> {count, 0 while nobody knows it; early}
-- Whoever does not know the number leaves a note in the same call, so no submission can fall between the two.
local function settle(keys, a)
  if a[2] ~= '' and not a[2]:find('^[1-9]%d?%d?%d?$') then return redis.error_reply('NXARGS settle: count') end
  local known = redis.call('HMGET', keys[1], 'count', 'early')
  if known[1] then return {tonumber(known[1]), tonumber(known[2] or '0')} end
  if a[2] == '' then
    redis.call('HSET', keys[1], 'early', 1)
    return {0, 1}
  end
  redis.call('HSET', keys[1], 'count', a[2])
  return {tonumber(a[2]), tonumber(known[2] or '0')}
end

-- place: P, worker, slots, the shard it holds already or '', n * shard in its order of preference -> shard
-- A worker goes where it was, else to the shard with the fewest slots; the first one in its order among equals.
local function place(_, a)
  local workers, worker, slots, held = a[1] .. ':workers', a[2], a[3], a[4]
  if #a < 5 or not slots:find('^%d+$') then return redis.error_reply('NXARGS place: slots') end
  local chosen = held ~= '' and held or nil
  if not chosen then
    local total = {}
    for at = 5, #a do total[a[at]] = 0 end
    local known = redis.call('HGETALL', workers)
    for at = 1, #known, 2 do
      local shard, offered = known[at + 1]:match('^(%d+) (%d+)$')
      if shard and total[shard] then
        if known[at] == worker then chosen = shard end
        total[shard] = total[shard] + tonumber(offered)
      end
    end
    if not chosen then
      chosen = a[5]
      for at = 6, #a do
        if total[a[at]] < total[chosen] then chosen = a[at] end
      end
    end
  end
  redis.call('HSET', workers, worker, chosen .. ' ' .. slots)
  return tonumber(chosen)
end

-- displace: P, n * (worker, what was seen of it) -> how many were forgotten; one that has come back meanwhile is not.
local function displace(_, a)
  local forgotten = 0
  for at = 2, #a, 2 do
    if redis.call('HGET', a[1] .. ':workers', a[at]) == a[at + 1] then
      forgotten = forgotten + redis.call('HDEL', a[1] .. ':workers', a[at])
    end
  end
  return forgotten
end

redis.register_function{function_name = 'nx_settle', callback = settle, flags = draining}
redis.register_function{function_name = 'nx_place', callback = place, flags = draining}
redis.register_function{function_name = 'nx_displace', callback = displace, flags = draining}
