package gateway

import "container/list"

// bans keeps keys out for a while. There are at most max of them; one more replaces the ban that
// was given longest ago. So somebody who offends from many addresses or users can shorten the bans
// of all, but needs a new offence for each. It is not safe for concurrent use.
type bans[K comparable] struct {
	max   int
	byKey map[K]*list.Element
	order list.List // of ban[K], the one that was banned longest ago first
}

// ban keeps a key out until the tick end.
type ban[K comparable] struct {
	key K
	end int64
}

// add bans a key until a tick. It replaces an earlier ban of the same key. dropped says that the
// ban of another key ended before its time.
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

// left gives for how many more ticks a key is banned; 0: it is not.
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

// sweep removes bans that are over.
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
