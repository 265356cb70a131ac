package view

import "gannet/internal/redis"

// The scripts of readers. They share the pieces of script.go.

// load gives the mark, whether the view is incomplete, and all fields of each conversation whose
// place is in ARGV[1]. A single empty field stands for a key of another type, or one that is gone
// while an inbox names it.
var load = redis.NewScript(common + bearing + entered + `
local v = redis.call('HMGET', key, 'a', 'i')
local out = {1, v[1] or beginning, v[2] and 1 or 0}
for i = 1, #ARGV[1], 17 do
  local place = string.sub(ARGV[1], i, i + 16)
  local c = redis.pcall('HGETALL', base .. 'c' .. place)
  if wrong(c) or #c == 0 and not v[2] and entered(place) then c = {''} end
  out[#out + 1] = c
end
return out
`)

// keepCounts keeps counts. ARGV[1] has for each the place of a conversation, a user, and the value
// of n. It keeps them only if the user's cursor is at that seq and has no counts. The conversation
// gets a new stamp, because somebody may have been told a bound.
var keepCounts = redis.NewScript(common + stamped + bearing + counting + `
local v = redis.call('HMGET', key, 's', 'r', 'i')
local last = number(v[1])
if not last then return {3} end
if v[2] ~= run() or v[3] then return {4} end
local stamp, list, sub = draw(last, 0), ARGV[1], string.sub
for i = 1, #list, 50 do
  local to, user, value = base .. 'c' .. sub(list, i, i + 16), sub(list, i + 17, i + 24), sub(list, i + 25, i + 49)
  local c = redis.pcall('HMGET', to, 'p', 'm' .. user, 'n' .. user)
  if not wrong(c) and c[1] and #c[1] >= 33 and uncounted(c[2]) == sub(value, 2, 9) and c[3] ~= value then
    redis.call('HSET', to, 'p', sub(c[1], 1, 25) .. stamp .. sub(c[1], 34), 'n' .. user, value)
  end
end
redis.call('HSET', key, 's', stamp)
return {1}
`)

// tick gives the next stamp, below which none is given any more.
var tick = redis.NewScript(common + `
local v = redis.call('HMGET', key, 's', 'r', 'i')
local last = number(v[1])
if not last then return {3} end
if v[2] ~= run() or v[3] then return {4} end
last = math.max(last, now())
redis.call('HSET', key, 's', struct.pack('>I8', last))
return {1, struct.pack('>I8', last + 1)}
`)

// mask gives a mask, KEYS[1], and the run under which it is read.
var mask = redis.NewScript(`
local bits = redis.pcall('GET', KEYS[1])
return {type(bits) == 'string' and bits or '', string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')}
`)

// whole notes that a mask has all bits under the run ARGV[1], if that is still the run. ARGV[2] is
// the beginning of the mask, and the others are bits to set.
var whole = redis.NewScript(`
if string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') ~= ARGV[1] then return 0 end
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then redis.call('DEL', KEYS[1]) end
redis.call('SETRANGE', KEYS[1], 0, ARGV[2])
for i = 3, #ARGV do redis.call('SETBIT', KEYS[1], ARGV[i], 1) end
return 1
`)

// slice gives the part of a page that lies in a queue. ARGV are:
//
//	1  the user
//	2  the target to begin behind, as a bound of ZRANGEBYLEX
//	3  how many conversations to look at, at most
//	4  how many conversations to give, at most
//	5  a stamp: only conversations that changed since, or whose counts are not kept
//	6  the device
//	7  1: only conversations that the device has not acked
//
// The answer has the digest of the masters, the target up to which the slice was looked through,
// whether it goes on, and for each conversation its target and all fields, as load gives them.
var slice = redis.NewScript(common + bearing + counting + placing + `
local v = redis.call('HMGET', key, 'r', 'g', 'i')
if v[1] ~= run() or v[3] then return {4} end
local user, looks, want, since = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local place = placing(user)
local mine = 'm' .. user
local list = redis.pcall('ZRANGEBYLEX', base .. 'u' .. user, ARGV[2], '+', 'LIMIT', 0, looks + 1)
if wrong(list) then return {3} end
local out = {1, v[2] or '', '', 0}
for n, t in ipairs(list) do
  if n > looks or #out == want + 4 then
    out[4] = 1
    break
  end
  if #t ~= 9 then return {3} end
  local to = base .. 'c' .. place(t)
  local c = redis.pcall('HMGET', to, 'p', mine)
  local p = c[1]
  if wrong(c) or not p and redis.call('EXISTS', to) == 0 then
    out[#out + 1] = {t, {''}}
  else
    local takes = true
    if p and #p >= 33 then
      takes = struct.unpack('>I8', p, 26) >= since
      if not takes then
        local read = uncounted(c[2])
        takes = read and not known(redis.call('HGET', to, 'n' .. user), read)
      end
      if takes and ARGV[7] == '1' then
        local d = redis.call('HGET', to, 'd' .. user .. ARGV[6])
        takes = not d or #d < 41 or struct.unpack('>I8', d, 18) < struct.unpack('>I8', p, 2)
      end
    end
    if takes then out[#out + 1] = {t, redis.call('HGETALL', to)} end
  end
  out[3] = t
end
return out
`)

// absent gives the conversations that an inbox names and that have no key. ARGV are the user, the
// target to begin behind, as a bound of ZRANGEBYLEX, and how many conversations to look at, at
// most. The answer has the target up to which it looked if the inbox goes on, and the places.
var absent = redis.NewScript(common + bearing + placing + `
local place, looks = placing(ARGV[1]), tonumber(ARGV[3])
local list = redis.pcall('ZRANGEBYLEX', base .. 'u' .. ARGV[1], ARGV[2], '+', 'LIMIT', 0, looks)
if wrong(list) then list = {} end
local out = {1, #list == looks and list[looks] or ''}
for _, t in ipairs(list) do
  if #t == 9 then
    local at = place(t)
    if redis.call('EXISTS', base .. 'c' .. at) == 0 then out[#out + 1] = at end
  end
end
return out
`)
