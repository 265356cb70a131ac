package view

import "gannet/internal/redis"

// The first element of a script's answer.
const (
	answerOther   = 0 // the view is at another mark
	answerDone    = 1
	answerAlready = 2 // it had been done
	answerDamaged = 3 // a value of the state is damaged
	answerClosed  = 4 // the view is not confirmed, or not everything is back
)

// common begins every script. KEYS[1] is the state of a view.
const common = `
local key = KEYS[1]
local base = string.sub(key, 1, -2)
local beginning = '\1' .. string.rep('\255', 8) .. string.rep('\0', 16)

local function run()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- number reads a stamp; nil: it is damaged
local function number(s)
  if not s then return 0 end
  if #s ~= 8 then return nil end
  local n = struct.unpack('>I8', s)
  if n < 0 or n >= 4503599627370496 then return nil end
  return n
end
`

// bearing has the functions for calls that meet a key of another type than it must be. Such a call
// does nothing, so that others go on. If the key is a conversation, the owner of the queue is told
// in d. The view passes the record without that conversation, so it is marked by x as not back,
// whatever becomes of the key. In an incomplete view the key stays as it is: with x it would be
// filled with what is older than the record.
const bearing = `
local function wrong(answer)
  if type(answer) ~= 'table' or not answer.err then return false end
  if not string.find(answer.err, 'WRONGTYPE', 1, true) then error(answer.err) end
  return true
end

local function suspect(to) redis.call('HSET', key, 'd', string.sub(to, #base + 2)) end

local function bear(to, answer, incomplete)
  if not wrong(answer) then return end
  if not incomplete then
    redis.call('DEL', to)
    redis.call('HSET', to, 'x', '1')
  end
  suspect(to)
end
`

// entered says whether an inbox has the conversation of a place; of two users one inbox is enough.
// It is asked for a conversation that has no key: an inbox entry begins and goes with its
// conversation, so if there is one the key was lost.
const entered = `
local function entered(place)
  local kind, a, b = string.sub(place, 1, 1), string.sub(place, 2, 9), string.sub(place, 10)
  if kind == '\1' then
    return type(redis.pcall('ZSCORE', base .. 'u' .. a, kind .. b)) == 'string' or
      type(redis.pcall('ZSCORE', base .. 'u' .. b, kind .. a)) == 'string'
  end
  return kind == '\3' and type(redis.pcall('ZSCORE', base .. 'u' .. a, kind .. a)) == 'string'
end
`

// placing gives the function that makes the place of a conversation from what an inbox of the user
// has of it, a target. Numbers of 64 bits are compared by halves, which Lua's numbers hold.
const placing = `
local function placing(user)
  local u1, u2 = struct.unpack('>I4I4', user)
  return function(t)
    local kind, t1, t2 = struct.unpack('>BI4I4', t)
    local id = string.sub(t, 2)
    if kind ~= 1 then return string.sub(t, 1, 1) .. id .. string.rep('\0', 8) end
    if u1 < t1 or u1 == t1 and u2 < t2 then return string.sub(t, 1, 1) .. user .. id end
    return string.sub(t, 1, 1) .. id .. user
  end
end
`

// stamped draws the stamp of a change, above all that were given and above one that the
// owner knows.
const stamped = `
local function draw(last, after)
  return struct.pack('>I8', math.max(now(), last + 1, after + 1))
end
`

// counting has what is known of the counts up to a user's read cursor. uncounted gives the cursor
// if the user's field m has no counts for it. known says whether the field n has them.
const counting = `
local never = string.rep('\0', 8)

local function uncounted(m)
  if not m or #m < 50 or string.byte(m, 50) % 2 == 1 then return nil end
  local read = string.sub(m, 10, 17)
  return read ~= never and read or nil
end

local function known(n, read)
  return n and #n >= 25 and string.sub(n, 1, 9) == '\1' .. read
end
`

// writing puts whole conversations. A list of conversations has for each its place,
// the field p and its value without the stamp, and further fields and values.
const writing = `
local function put(list, stamp)
  for _, c in ipairs(list) do
    c[1] = base .. 'c' .. c[1]
    c[3] = c[3] .. stamp
    redis.call('HSET', unpack(c))
  end
end

local function enter(list)
  for _, u in ipairs(list) do
    wrong(redis.pcall('ZADD', base .. 'u' .. u[1], 0, u[2]))
  end
end
`

// forward takes a record in. All keys have the tag of KEYS[1]. ARGV are:
//
//	1    the mark that the writer believes
//	2    the mark of the record
//	3    a stamp to stay above
//	4    how many arguments each conversation has that begins, u16 each
//	5    the same for each other conversation that changes
//	6    the same for each conversation of which fields go
//	7    and on: those arguments, then pairs of an inbox and an entry
//
// The arguments of a conversation are its key, the value of p without the stamp, the value of l if
// the length has the highest bit, and further fields and values; where fields go, they are its key
// and the fields. If a conversation had begun, but each of its fields is new, its key was lost: it
// is marked as not back, and the owner is told.
var forward = redis.NewScript(common + stamped + bearing + `
local call, try, byte = redis.call, redis.pcall, string.byte
local v = call('HMGET', key, 'a', 's', 'i')
local has, last = v[1] or beginning, number(v[2])
if not last then return {3} end
if has == ARGV[2] then return {2, has, v[2] or ''} end
if has ~= ARGV[1] then return {0, has, v[2] or ''} end
local stamp = draw(last, struct.unpack('>I8', ARGV[3]))
local at = 7
for part = 4, 5 do
  local lengths = ARGV[part]
  local incomplete = part == 5 and v[3]
  for i = 1, #lengths, 2 do
    local high, low = byte(lengths, i, i + 1)
    local to = ARGV[at]
    local progress = ARGV[at + 1] .. stamp
    if incomplete and call('EXISTS', to) == 0 then call('HSET', to, 'x', '1') end
    local behind, fields, answer
    if high >= 128 then
      behind = at + (high - 128) * 256 + low
      fields = (behind - at + 1) / 2
      answer = try('HSET', to, 'p', progress, 'l', ARGV[at + 2], unpack(ARGV, at + 3, behind - 1))
    else
      behind = at + high * 256 + low
      fields = (behind - at) / 2
      answer = try('HSET', to, 'p', progress, unpack(ARGV, at + 2, behind - 1))
    end
    bear(to, answer, v[3])
    if answer == fields and part == 5 and not incomplete then
      call('HSET', to, 'x', '1')
      suspect(to)
    end
    at = behind
  end
end
for i = 1, #ARGV[6], 2 do
  local high, low = byte(ARGV[6], i, i + 1)
  local behind = at + high * 256 + low
  bear(ARGV[at], try('HDEL', unpack(ARGV, at, behind - 1)), v[3])
  at = behind
end
for i = at, #ARGV, 2 do wrong(try('ZADD', ARGV[i], 0, ARGV[i + 1])) end
call('HSET', key, 'a', ARGV[2], 's', stamp)
return {1, ARGV[2], stamp}
`)

// look gives the state: mark, stamp, whether it is confirmed under this run and the
// masters whose digest is ARGV[1], whether it is incomplete, and which conversation somebody
// could not read.
var look = redis.NewScript(common + `
local v = redis.call('HMGET', key, 'a', 's', 'r', 'g', 'i', 'd')
if not number(v[2]) then return {3} end
return {1, v[1] or beginning, v[2] or '', (v[3] == run() and v[4] == ARGV[1]) and 1 or 0, v[5] and 1 or 0, v[6] or ''}
`)

// heed removes the note of the conversation whose place is ARGV[1], if no other took its place.
var heed = redis.NewScript(common + `
if redis.call('HGET', key, 'd') == ARGV[1] then redis.call('HDEL', key, 'd') end
return {1}
`)

// skip marks the conversations whose places are in ARGV[2] as not back, while the view is at the
// mark ARGV[1].
var skip = redis.NewScript(common + `
local v = redis.call('HMGET', key, 'a', 's')
local has = v[1] or beginning
if has ~= ARGV[1] then return {0, has, v[2] or ''} end
for i = 1, #ARGV[2], 17 do
  local to = base .. 'c' .. string.sub(ARGV[2], i, i + 16)
  redis.call('DEL', to)
  redis.call('HSET', to, 'x', '1')
end
return {1, has, v[2] or ''}
`)

// forsake notes that nobody has all of the conversations any more whose places are in ARGV[1].
// Those that were not back will not be. Redis keeps of them how far they have come.
var forsake = redis.NewScript(common + bearing + `
for i = 1, #ARGV[1], 17 do
  local to = base .. 'c' .. string.sub(ARGV[1], i, i + 16)
  local waits = redis.pcall('HDEL', to, 'x')
  local progress = waits == 1 and redis.call('HGET', to, 'p')
  if wrong(waits) or waits == 1 then redis.call('DEL', to) end
  if progress then redis.call('HSET', to, 'p', progress) end
  redis.call('HSET', to, 'g', '1')
end
local v = redis.call('HMGET', key, 'a', 's')
return {1, v[1] or beginning, v[2] or ''}
`)

// confirm says under this run that the view is true at the mark ARGV[1]. ARGV[2] is a
// stamp to stay above, ARGV[3] the digest of the masters, ARGV[4] by how much stamps leap
// under a run that was not confirmed before; with ARGV[5] everything is back.
var confirm = redis.NewScript(common + stamped + `
local v = redis.call('HMGET', key, 'a', 's', 'r')
local has, last = v[1] or beginning, number(v[2])
if not last then return {3} end
if has ~= ARGV[1] then return {0, has, v[2] or ''} end
local stamp, this = v[2], run()
if v[3] ~= this or not stamp then
  local after = struct.unpack('>I8', ARGV[2])
  local at = math.max(now(), last, after)
  if v[3] or after > 0 then at = at + ARGV[4] end
  stamp = struct.pack('>I8', at)
end
redis.call('HSET', key, 'a', has, 's', stamp, 'r', this, 'g', ARGV[3])
if ARGV[5] == '1' then redis.call('HDEL', key, 'i') end
return {1, has, stamp}
`)

// adopt moves the mark from ARGV[1] to ARGV[2]; with ARGV[4] the view is incomplete from
// then on.
var adopt = redis.NewScript(common + stamped + `
local v = redis.call('HMGET', key, 'a', 's')
local has, last = v[1] or beginning, number(v[2])
if not last then return {3} end
if has == ARGV[2] and ARGV[1] ~= ARGV[2] then return {2, has, v[2] or ''} end
if has ~= ARGV[1] then return {0, has, v[2] or ''} end
local stamp = draw(last, struct.unpack('>I8', ARGV[3]))
redis.call('HSET', key, 'a', ARGV[2], 's', stamp)
if ARGV[4] == '1' then redis.call('HSET', key, 'i', '1') end
return {1, ARGV[2], stamp}
`)

// replace writes whole conversations anew while the view is at the mark ARGV[1]. ARGV[2]
// is a stamp to stay above, ARGV[3] the conversations and entries of inboxes.
var replace = redis.NewScript(common + stamped + bearing + writing + `
local v = redis.call('HMGET', key, 'a', 's')
local has, last = v[1] or beginning, number(v[2])
if not last then return {3} end
if has ~= ARGV[1] then return {0, has, v[2] or ''} end
local stamp = draw(last, struct.unpack('>I8', ARGV[2]))
local change = cmsgpack.unpack(ARGV[3])
for _, c in ipairs(change[1]) do redis.call('DEL', base .. 'c' .. c[1]) end
put(change[1], stamp)
enter(change[2])
redis.call('HSET', key, 's', stamp)
return {1, has, stamp}
`)

// fill is replace for an incomplete view that goes on meanwhile: what records have
// brought is newer and stays.
var fill = redis.NewScript(common + stamped + bearing + writing + `
local v = redis.call('HMGET', key, 'a', 's', 'i')
local has, last = v[1] or beginning, number(v[2])
if not last then return {3} end
if has ~= ARGV[1] or not v[3] then return {0, has, v[2] or ''} end
local stamp = draw(last, struct.unpack('>I8', ARGV[2]))
local change = cmsgpack.unpack(ARGV[3])
local absent = {}
for _, c in ipairs(change[1]) do
  local to = base .. 'c' .. c[1]
  if redis.call('EXISTS', to) == 0 then
    absent[#absent + 1] = c
  elseif redis.pcall('HDEL', to, 'x') == 1 then
    c[3] = c[3] .. stamp
    for i = 2, #c, 2 do redis.call('HSETNX', to, c[i], c[i + 1]) end
  end
end
put(absent, stamp)
enter(change[2])
redis.call('HSET', key, 's', stamp)
return {1, has, stamp}
`)
