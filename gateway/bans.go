package gateway

import "container/list"

// bans are keys that are kept out for a while, at most so many. For one more, the one
// goes that was banned longest ago: whoever fills the table from many addresses or users
// shortens the bans of all, his own first, and gets none of them for nothing. It is not
// safe for concurrent use.
type bans[K comparable] struct {
	max   int
	byKey map[K]*list.Element
	order list.List // of ban[K], the one that was banned longest ago first
}

// ban is one of them, until its end, a tick.
type ban[K comparable] struct {
	key K
	end int64
}

// add bans a key until a tick, in place of a ban that it has; dropped says that another
// one ended before its time.
func (b *bans[K]) add(key K, end, now int64) (dropped bool) {
	if b.byKey == nil {
		b.byKey = make(map[K]*list.Element)
	}
	if e, ok := b.byKey[key]; ok {
		e.Value = ban[K]{key, end}
		b.order.MoveToBack(e)
		return false
	}
	if len(b.byKey) >= b.max {
		oldest := b.order.Front()
		dropped = oldest.Value.(ban[K]).end > now
		b.remove(oldest)
	}
	b.byKey[key] = b.order.PushBack(ban[K]{key, end})
	return dropped
}

// left gives for how many ticks a key stays out; 0: it is let in.
func (b *bans[K]) left(key K, now int64) int64 {
	e, ok := b.byKey[key]
	if !ok {
		return 0
	}
	if end := e.Value.(ban[K]).end; end > now {
		return end - now
	}
	b.remove(e)
	return 0
}

// sweep forgets those whose time is over.
func (b *bans[K]) sweep(now int64) {
	for e := b.order.Front(); e != nil; {
		next := e.Next()
		if e.Value.(ban[K]).end <= now {
			b.remove(e)
		}
		e = next
	}
}

func (b *bans[K]) remove(e *list.Element) {
	delete(b.byKey, b.order.Remove(e).(ban[K]).key)
}

func (b *bans[K]) len() int { return len(b.byKey) }
