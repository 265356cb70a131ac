package redis

import "gannet/internal/redis"

// Each script works on one bucket, KEYS[1], which is a hash. Field "drawn" is the highest number
// drawn, "life" is a random number that tells this bucket from a later one under the same key,
// "devices" is how many devices there are. For each user, as 8 bytes, a field has a version of 8
// bytes and then for each device (sizeDevice)
//
//	device 8, number 8, gateway 8, connection 8, platform 1, replaced gateway 8 and connection 8
//
// all big-endian. The address that the last bind of a device replaced is kept, so that a bind
// that is repeated because its answer was lost gets the same answer.
//
// Lua compares strings by the server's locale and keeps only 53 bits of a number. So the scripts
// compare 64-bit numbers half by half, and compare strings for equality only.

// draw gives the next number. It is at least the time in microseconds, so that numbers rise even
// after Redis lost data. Such a number fits into a Lua number until the year 2255.
var draw = redis.NewScript(`
local time = redis.call('TIME')
local number = math.max(tonumber(redis.call('HGET', KEYS[1], 'drawn') or 0) + 1, time[1] * 1000000 + time[2])
local text = string.format('%.0f', number)
redis.call('HSET', KEYS[1], 'drawn', text)
return text
`)

// bind has in ARGV[1] for each bind
//
//	user 8, device 8, number 8, gateway 8, connection 8, platform 1, most 4, new version 8
//
// and gives for each a byte (0 bound, 1 lost, 2 full) and the address that it replaced.
var bind = redis.NewScript(`
local size, none = 49, string.rep('\0', 16)
local input, results = ARGV[1], {}
for at = 1, #input, 53 do
  local user, device, number = string.sub(input, at, at + 7), string.sub(input, at + 8, at + 15), string.sub(input, at + 16, at + 23)
  local address, platform = string.sub(input, at + 24, at + 39), string.sub(input, at + 40, at + 40)
  local most, version = struct.unpack('>I4', input, at + 41), string.sub(input, at + 45, at + 52)
  local value = redis.call('HGET', KEYS[1], user)
  if not value or #value < 8 or (#value - 8) % size ~= 0 then value = version end
  local code, replaced, where, count = '\0', none, nil, (#value - 8) / size
  for d = 9, #value, size do
    if string.sub(value, d, d + 7) == device then where = d break end
  end
  if not where and most > 0 and count >= most then
    code = '\2'
  elseif not where then
    value = version .. string.sub(value, 9) .. device .. number .. address .. platform .. none
    redis.call('HSET', KEYS[1], user, value)
    redis.call('HINCRBY', KEYS[1], 'devices', 1)
  else
    local old = string.sub(value, where + 16, where + 31)
    local high, low = struct.unpack('>I4I4', number)
    local oldHigh, oldLow = struct.unpack('>I4I4', value, where + 8)
    if high < oldHigh or high == oldHigh and low < oldLow then
      code = '\1'
    elseif string.sub(value, where + 8, where + 15) == number and old == address then
      replaced = string.sub(value, where + 33, where + 48)
    elseif string.sub(value, where + 8, where + 15) == number and string.sub(value, where + 33, where + 48) == address then
      -- it comes late: the connection was bound under another epoch since
    else
      if old ~= address then replaced = old end
      value = version .. string.sub(value, 9, where - 1) .. device .. number .. address .. platform .. replaced .. string.sub(value, where + size)
      redis.call('HSET', KEYS[1], user, value)
    end
  end
  results[#results + 1] = code .. replaced
end
return table.concat(results)
`)

// unbind has in ARGV[1] for each device
//
//	user 8, device 8, number 8, gateway 8, connection 8, new version 8
var unbind = redis.NewScript(`
local size = 49
local input = ARGV[1]
for at = 1, #input, 48 do
  local user, entry, version = string.sub(input, at, at + 7), string.sub(input, at + 8, at + 39), string.sub(input, at + 40, at + 47)
  local value = redis.call('HGET', KEYS[1], user)
  for d = 9, value and #value or 0, size do
    if string.sub(value, d, d + 31) == entry then
      if #value == 8 + size then
        redis.call('HDEL', KEYS[1], user)
      else
        redis.call('HSET', KEYS[1], user, version .. string.sub(value, 9, d - 1) .. string.sub(value, d + size))
      end
      redis.call('HINCRBY', KEYS[1], 'devices', -1)
      break
    end
  end
end
return 0
`)

// sweep removes all entries of the gateways whose epochs are in ARGV[1], 8 bytes each, and
// returns how many there were. ARGV[2] is a random number from which the users get new versions.
var sweep = redis.NewScript(`
local size, removed, ended = 49, 0, {}
for at = 1, #ARGV[1], 8 do ended[string.sub(ARGV[1], at, at + 7)] = true end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local user, value = all[i], all[i + 1]
  if #user == 8 then
    local kept, gone = {}, 0
    for d = 9, #value, size do
      if ended[string.sub(value, d + 16, d + 23)] then gone = gone + 1
      else kept[#kept + 1] = string.sub(value, d, d + size - 1) end
    end
    if gone > 0 then
      removed = removed + gone
      if #kept == 0 then redis.call('HDEL', KEYS[1], user)
      else
        local version = redis.sha1hex(ARGV[2] .. user)
        local bytes = {}
        for b = 1, 16, 2 do bytes[#bytes + 1] = string.char(tonumber(string.sub(version, b, b + 1), 16)) end
        redis.call('HSET', KEYS[1], user, table.concat(bytes) .. table.concat(kept))
      end
    end
  end
end
if removed > 0 then redis.call('HINCRBY', KEYS[1], 'devices', -removed) end
return removed
`)

// life returns the field "life" of a bucket. If there is none, it first sets it to ARGV[1].
var life = redis.NewScript(`
redis.call('HSETNX', KEYS[1], 'life', ARGV[1])
return redis.call('HGET', KEYS[1], 'life')
`)
