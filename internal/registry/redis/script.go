package redis

import "gannet/internal/redis"

// script does every step of the registry, by the clock of Redis.
//
// KEYS: the nodes by member (time of registration in milliseconds, and the record), the deadlines
// by member, the state of the registry itself, the counts by member. A member is id and epoch,
// each as 16 hexadecimal digits, with a point between them.
//
// ARGV: expiry and pause in milliseconds, the version that the caller knows, the operation, and
// for an operation on a node also member, record and count; last the highest version of which the
// caller has heard, which is at least the one that it knows.
//
// The state of the registry itself is its version and three times: heard, when the script last
// ran; quiet, until when no node is declared dead; settled, until when nodes may be missing.
//
//   - A version of 0, or below one of which the caller has heard, means that Redis lost its data,
//     all or the newest. Then nodes may be missing for one expiry.
//   - If nobody ran the script for longer than the pause (several beats of every node), or if the
//     clock was set back, then Redis was away, not the nodes. So no node is declared dead for one
//     expiry: by then every living node has sent a beat.
//   - A new version is the time in microseconds since 1970, or the old version plus one if that is
//     higher. So versions rise even after a loss.
//
// Running the script twice in a row has the same effect as running it once.
var script = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expiry, pause, known = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local op, member, record, count, heard_of = ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local self = redis.call('HMGET', KEYS[3], 'version', 'heard', 'quiet', 'settled')
local version, heard = tonumber(self[1] or 0), tonumber(self[2] or 0)
local quiet, settled = tonumber(self[3] or 0), tonumber(self[4] or 0)
local changed = false

local function remove(m)
  redis.call('ZREM', KEYS[2], m)
  redis.call('HDEL', KEYS[1], m)
  redis.call('HDEL', KEYS[4], m)
  changed = true
end

if version == 0 or heard_of > version then
  version = math.max(version, heard_of)
  quiet, settled, changed = now + expiry, now + expiry, true
elseif now - heard > pause or now < heard then
  quiet = now + expiry
end
if now < heard then
  quiet = now + expiry
  if settled > 0 then settled = now + expiry end
  for _, m in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    redis.call('ZADD', KEYS[2], now + expiry, m)
  end
end
if settled > 0 and now >= settled then
  settled, changed = 0, true
end
if now >= quiet then
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
    remove(m)
  end
end

local ended = 0
if op == 'join' then
  for _, m in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    if m ~= member and string.sub(m, 1, 17) == string.sub(member, 1, 17) then
      remove(m)
    end
  end
  if redis.call('HSETNX', KEYS[1], member, string.format('%.0f ', now) .. record) == 1 then
    changed = true
  end
  redis.call('ZADD', KEYS[2], now + expiry, member)
elseif op == 'beat' then
  local old = redis.call('HGET', KEYS[1], member)
  if not old then
    ended = 1
  else
    redis.call('ZADD', KEYS[2], now + expiry, member)
    redis.call('HSET', KEYS[4], member, count)
    if string.sub(old, 15) ~= record then
      redis.call('HSET', KEYS[1], member, string.sub(old, 1, 14) .. record)
      changed = true
    end
  end
elseif op == 'leave' and redis.call('HEXISTS', KEYS[1], member) == 1 then
  remove(member)
end

if changed then
  version = math.max(version + 1, time[1] * 1000000 + time[2])
end
redis.call('HSET', KEYS[3], 'version', string.format('%.0f', version), 'heard', string.format('%.0f', now),
  'quiet', string.format('%.0f', quiet), 'settled', string.format('%.0f', settled))
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, 86400000)
end
local nodes = false
if version ~= known then
  nodes = redis.call('HGETALL', KEYS[1])
end
return {ended, string.format('%.0f', version), string.format('%.0f', settled), nodes}
`)
