package protocol

// Target is a conversation as a sender addresses it.
type Target struct {
	Kind Kind
	ID   uint64
}

// Conversation is the canonical key of a conversation, the same for all its
// members. For a direct one A is the smaller user and B the larger; for the
// others A is the target's id and B is 0.
type Conversation struct {
	Kind Kind
	A, B uint64
}

// Conversation gives the canonical key of the conversation that user means by
// the target.
func (t Target) Conversation(user uint64) Conversation {
	if t.Kind != KindDirect {
		return Conversation{Kind: t.Kind, A: t.ID}
	}
	if user < t.ID {
		return Conversation{Kind: KindDirect, A: user, B: t.ID}
	}
	return Conversation{Kind: KindDirect, A: t.ID, B: user}
}

// Target gives the conversation as user addresses it, the inverse of
// Target.Conversation for its members.
func (c Conversation) Target(user uint64) Target {
	if c.Kind == KindDirect && c.A == user {
		return Target{Kind: KindDirect, ID: c.B}
	}
	return Target{Kind: c.Kind, ID: c.A}
}

// Partitions is the number of partitions of a cluster, fixed for its life.
const Partitions = 256

// Partition gives the partition of the conversation: FNV-1a (64 bit, as in
// draft-eastlake-fnv) over kind, a and b in big-endian order, its halves
// folded together, modulo Partitions. It must never change.
func (c Conversation) Partition() int {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	h = (h ^ uint64(c.Kind)) * prime
	for shift := 56; shift >= 0; shift -= 8 {
		h = (h ^ (c.A >> shift & 0xff)) * prime
	}
	for shift := 56; shift >= 0; shift -= 8 {
		h = (h ^ (c.B >> shift & 0xff)) * prime
	}
	h ^= h >> 32
	return int(h % Partitions)
}
