package gannet

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
)

// memoryStore keeps records in memory.
type memoryStore struct {
	mu       sync.Mutex
	records  [][]byte
	rewrites int
}

func (s *memoryStore) Load(record func([]byte) error) error {
	for _, r := range s.records {
		if err := record(slices.Clone(r)); err != nil {
			return err
		}
	}
	return nil
}

func (s *memoryStore) Append(records ...[]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		s.records = append(s.records, bytes.Clone(r))
	}
	return nil
}

func (s *memoryStore) Sync() error { return nil }

func (s *memoryStore) Rewrite(records ...[]byte) error {
	s.mu.Lock()
	s.records = nil
	s.rewrites++
	s.mu.Unlock()
	return s.Append(records...)
}

// loaded gives what a client would remember from the store.
func (s *memoryStore) loaded(t *testing.T) *saved {
	t.Helper()
	var j journal
	if err := j.load(s); err != nil {
		t.Fatal(err)
	}
	return &j.saved
}

// fill writes some of every record and gives what they say.
func fill(t *testing.T, j *journal) saved {
	t.Helper()
	outgoing := func(id uint64) record {
		d := Text(fmt.Sprint("body ", id))
		d.ID = id
		return record{kind: recordTaken, id: id, target: Group(id), draft: d}
	}
	acked := Outcome{ID: 40, To: Group(40), Ack: Ack{ID: 40, Seq: 3, Time: milliseconds(1234)}}
	refused := Outcome{ID: 50, To: Group(50), Err: &Error{Code: CodeBadTarget, Text: "who?"}}
	err := j.append(
		record{kind: recordDevice, id: 7},
		record{kind: recordOwner, id: 1, text: someServer},
		outgoing(10), outgoing(20), outgoing(30), outgoing(40), outgoing(50), outgoing(60),
		settled(acked), settled(refused),
		record{kind: recordForgot, id: 30}, record{kind: recordForgot, id: 10},
		record{kind: recordForgot, id: 15}, record{kind: recordForgot, id: 60},
		record{kind: recordReceived, target: User(1), seq: 2}, record{kind: recordReceived, target: User(2), seq: 5},
		record{kind: recordReceived, target: User(1), seq: 1}, // late: it does not fall
		record{kind: recordRead, target: User(1), seq: 4}, record{kind: recordRead, target: User(2), seq: 4},
		record{kind: recordReadDone, target: User(1), seq: 3}, record{kind: recordReadDone, target: User(2), seq: 4},
		record{kind: recordPosition, id: 99},
	)
	if err != nil {
		t.Fatal(err)
	}
	return saved{
		device: 7, user: 1, server: someServer, lastID: 60, position: 99,
		received: map[Target]uint64{User(1): 2, User(2): 5},
		reads:    map[Target]uint64{User(1): 4},
		taken: []keptMessage{
			{id: 20, target: Group(20), draft: outgoing(20).draft},
			{id: 40, target: Group(40), settled: &acked},
			{id: 50, target: Group(50), settled: &refused},
		},
	}
}

func TestJournalRemembers(t *testing.T) {
	store := new(memoryStore)
	var j journal
	if err := j.load(store); err != nil {
		t.Fatal(err)
	}
	want := fill(t, &j)
	if !reflect.DeepEqual(j.saved, want) {
		t.Errorf("it has %+v, want %+v", j.saved, want)
	}
	if have := *store.loaded(t); !reflect.DeepEqual(have, want) {
		t.Errorf("after a restart %+v, want %+v", have, want)
	}
	before := len(store.records)
	if err := j.rewrite(); err != nil {
		t.Fatal(err)
	}
	if have := *store.loaded(t); !reflect.DeepEqual(have, want) || len(store.records) >= before {
		t.Errorf("after a rewrite to %d records %+v, want %+v", len(store.records), have, want)
	}
}

func TestJournalIsRewrittenAsItGrows(t *testing.T) {
	store := new(memoryStore)
	var j journal
	if err := j.load(store); err != nil {
		t.Fatal(err)
	}
	want := fill(t, &j)
	body := Text(string(make([]byte, 10_000)))
	for id := uint64(100); id < 600; id++ {
		body.ID = id
		if err := j.append(record{kind: recordTaken, id: id, target: User(1), draft: body}); err != nil {
			t.Fatal(err)
		}
		j.forget(id)
	}
	size := 0
	for _, r := range store.records {
		size += len(r)
	}
	want.lastID = 599
	if have := *store.loaded(t); store.rewrites < 3 || size > 2*minRewrite || !reflect.DeepEqual(have, want) {
		t.Errorf("%d rewrites, %d bytes, %+v", store.rewrites, size, have)
	}
}

// What a younger client may have written.
func TestRecordsMayGrow(t *testing.T) {
	store := new(memoryStore)
	var j journal
	if err := j.load(store); err != nil {
		t.Fatal(err)
	}
	want := fill(t, &j)
	for i, r := range store.records { // a new field at the end of each
		store.records[i] = append(r, 0xAA, 0xBB)
	}
	extra := []byte{byte(optionalKinds) + 5, 1, 2, 3}
	store.Append(extra)
	want.optional = [][]byte{extra}
	if have := *store.loaded(t); !reflect.DeepEqual(have, want) {
		t.Errorf("it has %+v, want %+v", have, want)
	}
	var again journal
	if err := again.load(store); err != nil {
		t.Fatal(err)
	}
	if err := again.rewrite(); err != nil {
		t.Fatal(err)
	}
	if have := *store.loaded(t); !reflect.DeepEqual(have, want) {
		t.Errorf("after a rewrite %+v, want %+v", have, want)
	}
	for what, r := range map[string][]byte{
		"of a kind that must be understood": {byte(optionalKinds) - 1, 1},
		"without a kind":                    {0, 1},
		"that is empty":                     {},
		"that is cut":                       {byte(recordDevice), 1, 2},
		"with a body that is cut":           append(store.records[0][:0:0], byte(recordTaken), 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 9, 'x'),
		"with a body that cannot be":        append(store.records[0][:0:0], byte(recordTaken), 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0xff, 0, 0, 0),
	} {
		bad := &memoryStore{records: [][]byte{r}}
		if _, err := New("127.0.0.1:1", "x", WithStore(bad)); !errors.Is(err, ErrStore) {
			t.Errorf("a record %s: %v", what, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	store := new(memoryStore)
	j := journal{store: store, limit: minRewrite}
	j.saved.received, j.saved.reads = map[Target]uint64{}, map[Target]uint64{}
	t := new(testing.T)
	fill(t, &j)
	for _, r := range store.records {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		var r, again record
		if !r.decode(b) {
			return
		}
		if back := r.append(nil); !again.decode(back) || !reflect.DeepEqual(r, again) {
			t.Errorf("%x is %+v, and again %+v", b, r, again)
		}
	})
}

// A store that the app makes itself is as good as a FileStore.
func TestAStoreOfTheAppsOwn(t *testing.T) {
	s := newServer(t)
	store := new(memoryStore)
	d := newDiary()
	c := join(t, s, 2, WithStore(store), WithHandler(d.handler()))
	s.say(1, User(2), "1")
	d.expect(t, "1")
	if _, err := c.Send(testContext(t), User(1), Text("answer")); err != nil {
		t.Fatal(err)
	}
	device := c.Device()
	if err := c.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	s.say(1, User(2), "2")
	d = newDiary()
	if c = join(t, s, 2, WithStore(store), WithHandler(d.handler())); c.Device() != device {
		t.Errorf("device %d, before %d", c.Device(), device)
	}
	d.expect(t, "2")
}
