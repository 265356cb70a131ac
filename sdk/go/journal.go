package gannet

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// minRewrite is the size in bytes below which rewriting a store is not worth it.
const minRewrite = 1 << 20

// journal is what the store remembers and how it is written. Without a store it
// remembers nothing.
type journal struct {
	store Store // nil: none
	mine  claim // of this client

	failures atomic.Uint64 // what could not be written

	mu             sync.Mutex
	saved          saved
	bound, claimed bool      // this client has been logged in; its claim is in the store
	left           bool      // the client is closed: the store may be the next one's
	err            error     // the first failure
	told           uint64    // of failures
	at             time.Time // when they were told
	size           int       // bytes of the records in the store
	limit          int       // size at which they are rewritten
	buf            []byte    // reused
	list           [][]byte  // reused
}

// saved is what the records of a store say.
type saved struct {
	device   uint64 // 0: none yet
	user     uint64
	server   string // identity
	lastID   uint64
	position uint64
	received map[Target]uint64
	reads    map[Target]uint64 // to be told to the server
	taken    []keptMessage     // in rising order of id
	claim    *claim            // of the client that was given something last, if it has not been logged in
	loose    []looseMark
	optional [][]byte // records of kinds that this client does not know
}

// keptMessage is a message that was taken and of which its sender has not heard.
type keptMessage struct {
	id      uint64
	target  Target
	draft   Draft
	settled *Outcome // nil: not answered yet
	claim   *claim   // under which it was taken; nil: it is the owner's
}

// load reads the store.
func (j *journal) load(store Store) error {
	j.store = store
	j.saved.received, j.saved.reads = make(map[Target]uint64), make(map[Target]uint64)
	if store == nil {
		return nil
	}
	err := store.Load(func(b []byte) error {
		j.size += len(b)
		return j.saved.add(b)
	})
	if err != nil {
		return storeFailed(err)
	}
	j.limit = max(minRewrite, 2*j.size)
	return nil
}

func storeFailed(err error) error { return fmt.Errorf("%w: %w", ErrStore, err) }

// add takes in a record of a store.
func (s *saved) add(b []byte) error {
	if len(b) == 0 {
		return errors.New("an empty record")
	}
	if kind := recordKind(b[0]); kind >= optionalKinds {
		s.optional = append(s.optional, bytes.Clone(b))
		return nil
	} else if kind == 0 || kind > recordUnclaim {
		return fmt.Errorf("a record of kind %d, which this version does not know: the store was written by a younger one, or is not a client's", kind)
	}
	var r record
	if !r.decode(b) {
		return fmt.Errorf("a broken record of kind %d", b[0])
	}
	s.apply(&r)
	return nil
}

func (s *saved) apply(r *record) {
	switch r.kind {
	case recordDevice:
		s.device = r.id
	case recordOwner:
		s.user, s.server = r.id, r.text
		s.decide()
	case recordClaim:
		s.claim = &claim{r.id, r.text}
	case recordUnclaim:
		s.drop()
	case recordLastID:
		s.lastID = r.id
	case recordPosition:
		s.position = r.id
	case recordReceived:
		s.received[r.target] = max(s.received[r.target], r.seq)
	case recordTaken:
		s.lastID = max(s.lastID, r.id)
		s.taken = append(s.taken, keptMessage{id: r.id, target: r.target, draft: r.draft, claim: s.claim})
	case recordSettled:
		if i, found := s.find(r.id); found {
			k := &s.taken[i]
			o := r.outcome(k.target)
			k.settled, k.draft = &o, Draft{}
		}
	case recordForgot:
		if i, found := s.find(r.id); found {
			s.taken = slices.Delete(s.taken, i, i+1)
		}
	case recordRead:
		if s.claim != nil {
			s.loose = append(s.loose, looseMark{r.target, r.seq, s.claim})
			return
		}
		s.reads[r.target] = max(s.reads[r.target], r.seq)
	case recordReadDone:
		if s.reads[r.target] <= r.seq {
			delete(s.reads, r.target)
		}
	}
}

func (s *saved) find(id uint64) (int, bool) {
	return slices.BinarySearchFunc(s.taken, id, func(k keptMessage, id uint64) int { return cmp.Compare(k.id, id) })
}

// records gives what has to be written so that add makes the same of it.
func (s *saved) records() []record {
	list := []record{
		{kind: recordDevice, id: s.device},
		{kind: recordOwner, id: s.user, text: s.server},
	}
	for target, seq := range s.received {
		list = append(list, record{kind: recordReceived, target: target, seq: seq})
	}
	for target, seq := range s.reads {
		list = append(list, record{kind: recordRead, target: target, seq: seq})
	}
	taken := func(claim *claim) {
		for _, k := range s.taken {
			if k.claim != claim {
				continue
			}
			list = append(list, record{kind: recordTaken, id: k.id, target: k.target, draft: k.draft})
			if k.settled != nil {
				list = append(list, settled(*k.settled))
			}
		}
	}
	taken(nil)
	for _, claim := range s.claims() {
		list = append(list, record{kind: recordClaim, id: claim.user, text: claim.server})
		for _, m := range s.loose {
			if m.claim == claim {
				list = append(list, record{kind: recordRead, target: m.target, seq: m.seq})
			}
		}
		taken(claim)
	}
	// The highest id may be above that of the last message.
	return append(list, record{kind: recordLastID, id: s.lastID}, record{kind: recordPosition, id: s.position})
}

// settled gives the record of an outcome.
func settled(o Outcome) record {
	r := record{kind: recordSettled, id: o.ID, seq: o.Ack.Seq}
	var e *Error
	if errors.Is(o.Err, ErrDropped) {
		r.code = codeDropped
	} else if errors.As(o.Err, &e) {
		r.code, r.text = e.Code, e.Text
	} else {
		r.time = uint64(o.Ack.Time.UnixMilli())
	}
	return r
}

// append writes records without waiting for the disk. When it fails the last of them
// is not in the store; a rewrite that fails after it is the failure of what comes next.
func (j *journal) append(records ...record) error {
	if j.store == nil || len(records) == 0 {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.write(records...)
}

// write is append for who holds mu.
func (j *journal) write(records ...record) error {
	if j.left {
		return nil
	}
	if j.err != nil {
		j.failures.Add(1)
		return j.err
	}
	list := j.encode(records)
	if err := j.store.Append(list...); err != nil {
		return j.fail(err)
	}
	for i := range records {
		j.saved.apply(&records[i])
	}
	if j.size >= j.limit {
		if err := j.rewrite(); err != nil {
			j.fail(err)
		}
	}
	return nil
}

// fail notes a failure and gives the first one. The caller holds mu.
func (j *journal) fail(err error) error {
	j.failures.Add(1)
	if j.err == nil {
		j.err = storeFailed(err)
	}
	return j.err
}

// news gives the failure of the store if there was one that nobody has told of, at most
// once a second; first says that it is the first time.
func (j *journal) news(now time.Time) (err error, first bool) {
	if j.failures.Load() == 0 {
		return nil, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.failures.Load()
	if first = j.told == 0; n == j.told || !first && now.Sub(j.at) < time.Second {
		return nil, false
	}
	j.told, j.at = n, now
	return j.err, first
}

// encode gives the records as bytes that hold until the next call, and counts
// them. The caller holds mu.
func (j *journal) encode(records []record) [][]byte {
	j.buf, j.list = j.buf[:0], j.list[:0]
	for i := range records {
		start := len(j.buf)
		j.buf = records[i].append(j.buf)
		j.list = append(j.list, j.buf[start:len(j.buf):len(j.buf)])
	}
	j.size += len(j.buf)
	return j.list
}

// rewrite puts what is remembered in the place of the records. The caller holds
// mu.
func (j *journal) rewrite() error {
	j.size = 0
	list := append(j.encode(j.saved.records()), j.saved.optional...)
	for _, b := range j.saved.optional {
		j.size += len(b)
	}
	j.limit = max(minRewrite, 2*j.size)
	err := j.store.Rewrite(list...)
	j.buf, j.list = nil, nil
	return err
}

// sync returns once what was appended is durable, or with the error of the store: then
// what was appended may be there after a restart or not.
func (j *journal) sync() error {
	if j.store == nil {
		return nil
	}
	err := j.store.Sync()
	if err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.fail(err)
	}
	return err
}

// received notes how far the app is in a conversation.
func (j *journal) received(target Target, seq uint64) {
	j.append(record{kind: recordReceived, target: target, seq: seq})
}

// leave ends all writing. What a hook or a body is at comes again then.
func (j *journal) leave() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.left = true
}

// forget notes that nobody needs to hear of a message any more.
func (j *journal) forget(id uint64) { j.append(record{kind: recordForgot, id: id}) }
