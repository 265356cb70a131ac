//go:build cluster

package history

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/internal/services/servicestest"
	"gannet/logic"
)

// bare gives a store whose database has no schema.
func bare(t *testing.T) *Store {
	t.Helper()
	s, err := Open(optionsAt(t, servicestest.ClickHouse(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func versions(t *testing.T, s *Store) (list []uint32) {
	t.Helper()
	rows, err := s.conn.Query(t.Context(), "SELECT version FROM schema_versions ORDER BY version")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v uint32
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

// Any number of nodes may bring the schema up at once, and each step is carried out once.
func TestMigrateAtOnce(t *testing.T) {
	s := bare(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	steps, _ := migrations()
	if got := versions(t, s); len(got) != len(steps) {
		t.Errorf("the versions are %v", got)
	}
	if err := s.Migrate(t.Context()); err != nil || len(versions(t, s)) != len(steps) {
		t.Errorf("a schema that is up to date: %v, %v", versions(t, s), err)
	}
	if n := s.Vars()["failed.migration"]; n != 0 {
		t.Errorf("%d failures are counted", n)
	}
}

// A database of an older version keeps what it has and can be used by the newer program;
// the older one refuses what is newer than itself.
func TestMigrateFromAnOlderVersion(t *testing.T) {
	s := bare(t)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, s, 1, FeederOptions{Every: manual}, nil)
	chat(n)
	n.flush()
	want := all(t, s, 1)

	steps, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	newer := append(slices.Clone(steps), migration{version: uint32(len(steps)) + 1, statements: []string{
		"ALTER TABLE messages ADD COLUMN edited UInt8",
		"CREATE TABLE IF NOT EXISTS edits (seq UInt64) ENGINE = MergeTree() ORDER BY seq",
	}})
	if err := s.migrate(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	if got := versions(t, s); len(got) != len(newer) || got[len(got)-1] != newer[len(newer)-1].version {
		t.Errorf("the versions are %v", got)
	}
	// What an older program inserts meanwhile has the new column's default.
	n.batch(1, 1, 2, 5, "nine")
	n.flush()
	edited := ^uint64(0)
	if err := s.conn.QueryRow(t.Context(), "SELECT toUInt64(sum(edited)) FROM messages").Scan(&edited); err != nil || edited != 0 {
		t.Errorf("the new column has %d, %v", edited, err)
	}
	if n := count(t, s, "edits"); n != 0 {
		t.Errorf("the new table has %d rows", n)
	}
	n.want(logic.Page{Conversation: direct(1, 2)}, 1, 9, 9)
	if got := all(t, s, 1); len(got) != len(want) {
		t.Errorf("%d conversations, want %d", len(got), len(want))
	}
	if err := s.Migrate(t.Context()); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), s.options.Database) {
		t.Errorf("the older program says %v", err)
	}
}

// A step that fails is not noted, and is carried out whole the next time.
func TestAStepThatFails(t *testing.T) {
	s := bare(t)
	create := "CREATE TABLE IF NOT EXISTS first (x UInt8) ENGINE = MergeTree() ORDER BY x"
	if err := s.migrate(t.Context(), []migration{{1, []string{create, "CREATE TABLE nonsense"}}}); err == nil {
		t.Fatal("nonsense is no error")
	}
	if got := versions(t, s); len(got) != 0 {
		t.Fatalf("the versions are %v", got)
	}
	if err := s.migrate(t.Context(), []migration{{1, []string{create, strings.Replace(create, "first", "second", 1)}}}); err != nil {
		t.Fatal(err)
	}
	if got := versions(t, s); !slices.Equal(got, []uint32{1}) || count(t, s, "first") != 0 || count(t, s, "second") != 0 {
		t.Errorf("the versions are %v", got)
	}
}

// The guard of somebody who works on the schema is waited for, and that of somebody who
// died is removed.
func TestTheGuard(t *testing.T) {
	s := bare(t)
	if err := s.migrate(t.Context(), []migration{{1, nil}}); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.Exec(t.Context(), "CREATE TABLE migration_2_guard (at DateTime) ENGINE = Memory"); err != nil {
		t.Fatal(err)
	}
	steps := []migration{{1, nil}, {2, nil}}
	s.guardLife = time.Hour
	done := make(chan error, 1)
	go func() { done <- s.migrate(t.Context(), steps) }()
	before := s.Vars()["queries"]
	eventually(t, "the guard was looked at twice", func() bool { return s.Vars()["queries"] >= before+2 })
	if got := versions(t, s); !slices.Equal(got, []uint32{1}) {
		t.Fatalf("the versions are %v while somebody else works", got)
	}
	if err := s.conn.Exec(t.Context(), "DROP TABLE migration_2_guard"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || !slices.Equal(versions(t, s), []uint32{1, 2}) {
		t.Fatalf("the versions are %v, %v", versions(t, s), err)
	}

	if err := s.conn.Exec(t.Context(), "CREATE TABLE migration_3_guard (at DateTime) ENGINE = Memory"); err != nil {
		t.Fatal(err)
	}
	s.guardLife = time.Second
	if err := s.migrate(t.Context(), append(steps, migration{3, nil})); err != nil || !slices.Equal(versions(t, s), []uint32{1, 2, 3}) {
		t.Fatalf("the versions are %v, %v", versions(t, s), err)
	}
}
