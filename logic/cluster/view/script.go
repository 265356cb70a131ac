package view

import "gannet/internal/redis"

// What scripts answer first.
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

// bearing calls what meets a key of another type than it has to be: then nothing is done,
// for the others' sake, and of a conversation the owner of the queue is told in d.
const bearing = `
local function wrong(answer)
  if type(answer) ~= 'table' or not answer.err then return false end
  if not string.find(answer.err, 'WRONGTYPE', 1, true) then error(answer.err) end
  return true
end

local function bear(to, answer)
  if wrong(answer) then redis.call('HSET', key, 'd', string.sub(to, #base + 2)) end
end
`

// stamped draws the stamp of a change, above all that were given and above one that the
// owner knows.
const stamped = `
local function draw(last, after)
  return struct.pack('>I8', math.max(now(), last + 1, after + 1))
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

// forward takes a record in. ARGV are the mark that the writer believes, that of the
// record, a stamp to stay above; how many arguments each conversation has that begins, then
// each other one, then each of which fields go (u16 each); those arguments; and pairs of an
// inbox and an entry. A conversation's are its key, the value of p without the stamp, that
// of l where the length has the highest bit, and further fields and values. All keys have
// the tag of KEYS[1].
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
    if high >= 128 then
      local behind = at + (high - 128) * 256 + low
      bear(to, try('HSET', to, 'p', progress, 'l', ARGV[at + 2], unpack(ARGV, at + 3, behind - 1)))
      at = behind
    else
      local behind = at + high * 256 + low
      bear(to, try('HSET', to, 'p', progress, unpack(ARGV, at + 2, behind - 1)))
      at = behind
    end
  end
end
for i = 1, #ARGV[6], 2 do
  local high, low = byte(ARGV[6], i, i + 1)
  local behind = at + high * 256 + low
  bear(ARGV[at], try('HDEL', unpack(ARGV, at, behind - 1)))
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
if v[6] then redis.call('HDEL', key, 'd') end
return {1, v[1] or beginning, v[2] or '', (v[3] == run() and v[4] == ARGV[1]) and 1 or 0, v[5] and 1 or 0, v[6] or ''}
`)

// forsake notes of the conversations whose places are in ARGV[1] that nobody has all of them
// any more.
var forsake = redis.NewScript(common + bearing + `
for i = 1, #ARGV[1], 17 do
  local to = base .. 'c' .. string.sub(ARGV[1], i, i + 16)
  if wrong(redis.pcall('HSET', to, 'g', '1')) then
    redis.call('DEL', to)
    redis.call('HSET', to, 'g', '1')
  end
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
    for i = 2, #c, 2 do redis.call('HSETNX', to, c[i], c[i + 1]) end
  end
end
put(absent, stamp)
enter(change[2])
redis.call('HSET', key, 's', stamp)
return {1, has, stamp}
`)

// load gives the mark, whether the view is incomplete, and of each conversation whose
// place is in ARGV[1] all fields; one field alone is of a key that has none.
var load = redis.NewScript(common + bearing + `
local v = redis.call('HMGET', key, 'a', 'i')
local out = {1, v[1] or beginning, v[2] and 1 or 0}
for i = 1, #ARGV[1], 17 do
  local c = redis.pcall('HGETALL', base .. 'c' .. string.sub(ARGV[1], i, i + 16))
  out[#out + 1] = wrong(c) and {''} or c
end
return out
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

// whole notes that a mask has all bits under the run ARGV[1], if it still is that; ARGV[2]
// is what begins it, and the others are bits to be set.
var whole = redis.NewScript(`
if string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') ~= ARGV[1] then return 0 end
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then redis.call('DEL', KEYS[1]) end
redis.call('SETRANGE', KEYS[1], 0, ARGV[2])
for i = 3, #ARGV do redis.call('SETBIT', KEYS[1], ARGV[i], 1) end
return 1
`)

// slice gives the part of a page that lies in a queue. ARGV: user; behind which target,
// as a bound of ZRANGEBYLEX; how many conversations are looked at and given at most; the
// stamp since which they changed; the device, and 1 if only those that it has not acked.
// The answer has the digest of the masters, up to where the slice was looked through,
// whether it goes on, and for each conversation its target and all fields, as load gives them.
var slice = redis.NewScript(common + bearing + `
local v = redis.call('HMGET', key, 'r', 'g', 'i')
if v[1] ~= run() or v[3] then return {4} end
local user, looks, want, since = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local u1, u2 = struct.unpack('>I4I4', user)
local list = redis.call('ZRANGEBYLEX', base .. 'u' .. user, ARGV[2], '+', 'LIMIT', 0, looks + 1)
local out = {1, v[2] or '', '', 0}
for n, t in ipairs(list) do
  if n > looks or #out == want + 4 then
    out[4] = 1
    break
  end
  if #t ~= 9 then return {3} end
  local kind, t1, t2 = struct.unpack('>BI4I4', t)
  local id, place = string.sub(t, 2)
  if kind ~= 1 then
    place = string.sub(t, 1, 1) .. id .. string.rep('\0', 8)
  elseif u1 < t1 or u1 == t1 and u2 < t2 then
    place = string.sub(t, 1, 1) .. user .. id
  else
    place = string.sub(t, 1, 1) .. id .. user
  end
  local to = base .. 'c' .. place
  local p = redis.pcall('HGET', to, 'p')
  if wrong(p) then
    out[#out + 1] = {t, {''}}
  elseif p or redis.call('EXISTS', to) == 1 then
    local takes = true
    if p and #p >= 33 then
      takes = struct.unpack('>I8', p, 26) >= since
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
