//go:build cluster

package history

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/internal/chain"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// lines collects a log.
type lines struct{ atomic.Pointer[string] }

func (l *lines) Write(b []byte) (int, error) {
	for {
		old := l.Load()
		all := string(b)
		if old != nil {
			all = *old + all
		}
		if l.CompareAndSwap(old, &all) {
			return len(b), nil
		}
	}
}

// newer has the schema of a store be of a later version than the program knows.
func newer(t *testing.T, s *Store) {
	t.Helper()
	steps, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.migrate(t.Context(), append(slices.Clone(steps), migration{uint32(len(steps)) + 1, nil})); err != nil {
		t.Fatal(err)
	}
}

// again gives another store of the same database, as one more node has it.
func again(t *testing.T, s *Store, log *slog.Logger) *Store {
	t.Helper()
	o := s.options
	o.Log = log
	other, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return other
}

// everywhere calls what reads or inserts, and gives the error of each.
func everywhere(t *testing.T, s *Store) map[string]error {
	t.Helper()
	errs := map[string]error{}
	queue := chain.Queue{Class: chain.Chat}
	_, errs["the mark"] = s.Mark(t.Context(), queue)
	f := NewFeeder(s, FeederOptions{Every: manual})
	_, errs["a feeder that opens a queue"] = f.Open(t.Context(), queue)
	errs["a flush"] = f.Flush(t.Context())
	_ = f.Stop(t.Context())
	load := &ledger.Loaded{Key: direct(1, 2)}
	errs["a load"] = errors.Join(NewReader(s, nil).Load(t.Context(), []*ledger.Loaded{load}), load.Err)
	errs["a rebuilding"] = s.Rebuild(t.Context(), Rebuild{Queues: 1, Kinds: []protocol.Kind{protocol.KindDirect}}, func([]Whole, Progress) error { return nil })
	_, errs["states"] = open(t.Context(), s, "SELECT 1", func(driver.Rows, *int, *place) error { return nil })
	errs["rows"] = s.insertRows(t.Context(), newBlock())
	_, errs["retention"] = s.Retain(t.Context(), 0, time.Now())
	return errs
}

// A store does nothing to a schema that is newer than the program, and says so; nor does it
// before it knows of which version the schema is.
func TestANewerSchemaIsRefused(t *testing.T) {
	s := bare(t)
	newer(t, s)
	said := new(lines)
	old := again(t, s, slog.New(slog.NewTextHandler(said, nil)))
	for what, err := range everywhere(t, old) {
		if !errors.Is(err, logic.ErrUnavailable) || errors.Is(err, ErrNewer) {
			t.Errorf("before anybody looked at the schema %s: %v", what, err)
		}
	}
	for name, look := range map[string]func() error{
		"Check": func() error { return old.Check(t.Context()) }, "Migrate": func() error { return old.Migrate(t.Context()) },
	} {
		old.schema.Store(nil)
		if err := look(); !errors.Is(err, ErrNewer) {
			t.Errorf("%s gives %v", name, err)
		}
		for what, err := range everywhere(t, old) {
			if !errors.Is(err, logic.ErrUnavailable) || !errors.Is(err, ErrNewer) {
				t.Errorf("after %s %s: %v", name, what, err)
			}
		}
	}
	vars := old.Vars()
	if vars["queries"] != 0 || vars["inserts"] != 0 {
		t.Errorf("%d queries and %d inserts were tried", vars["queries"], vars["inserts"])
	}
	if n := uint64(2 * (1 + len(everywhere(t, s)))); vars["refused.newer_schema"] < n {
		t.Errorf("counted %d times, want %d at least", vars["refused.newer_schema"], n)
	}
	text := said.Load()
	if text == nil || !strings.Contains(*text, "level=ERROR") || !strings.Contains(*text, "version 3 and this gannet knows up to 2") {
		t.Errorf("the log says %v", text)
	}
}

// What a feeder has goes nowhere once the schema is found to be newer.
func TestAFeederMeetsANewerSchema(t *testing.T) {
	s := bare(t)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, s, 1, FeederOptions{Every: manual}, nil)
	n.flush()
	newer(t, s)
	n.send(1, 1, 2, 1, "goes on while others are replaced")
	n.flush()
	if err := s.Migrate(t.Context()); !errors.Is(err, ErrNewer) {
		t.Fatalf("the older program says %v", err)
	}
	before := s.Vars()["inserts"]
	n.send(1, 1, 2, 2, "is not inserted")
	if err := n.feeder.Flush(t.Context()); !errors.Is(err, ErrNewer) {
		t.Errorf("a flush gives %v", err)
	}
	if after := s.Vars()["inserts"]; after != before || count(t, s, "messages") != 1 {
		t.Errorf("%d inserts and %d messages", after-before, count(t, s, "messages"))
	}
}

// Check has a store work at once whose schema is as the program has it. Where there is none,
// or nobody answers, it leaves that to Migrate.
func TestCheck(t *testing.T) {
	s := bare(t)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("without a database: %v", err)
	}
	if err := s.usable(); err == nil {
		t.Error("a store without a database can be used")
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := again(t, s, nil)
	if err := other.Check(t.Context()); err != nil {
		t.Errorf("a schema that is as it should be: %v", err)
	}
	if _, err := other.Mark(t.Context(), chain.Queue{Class: chain.Chat}); err != nil {
		t.Errorf("after Check: %v", err)
	}
	o := s.options
	o.Addresses = []string{"127.0.0.1:1"}
	away, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	if err := away.Check(t.Context()); err != nil {
		t.Errorf("nobody answers: %v", err)
	}
}
