//go:build cluster

package parked

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/redis/redistest"
	"gannet/internal/services/servicestest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func record(n int) *Record {
	return &Record{
		Queue: chain.Queue{Class: chain.System, Number: 9}, Mark: chain.Mark{Offset: int64(n), Writer: 1 << 63, Number: uint64(n) + 1},
		Time: 1_700_000_000_000, Parked: time.UnixMilli(1_700_000_000_500), Tries: 2, Reason: fmt.Sprintf("reason %d", n), Body: bytes.Repeat([]byte{0, 0xff}, n),
	}
}

// What was parked comes back in the order of the queue, as it was; parking it again
// replaces it; the number of records is bounded; each queue has its own.
func TestStore(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		s := New(redistest.Client(t, addresses...), redistest.Prefix(t, addresses...))
		queue := record(0).Queue
		count := func(want int) {
			t.Helper()
			if n, err := s.Count(t.Context(), queue); err != nil || n != want {
				t.Errorf("%d are parked, want %d (%v)", n, want, err)
			}
		}
		for i := range Most {
			kept, err := s.Park(t.Context(), record(Most-1-i))
			if must(t, err); !kept {
				t.Fatalf("number %d was not kept", i)
			}
		}
		if kept, err := s.Park(t.Context(), record(Most)); err != nil || kept {
			t.Errorf("one too many: %v, %v", kept, err)
		}
		again := record(3)
		again.Tries, again.Reason = 3, "another reason"
		if kept, err := s.Park(t.Context(), again); err != nil || !kept {
			t.Errorf("one that is there: %v, %v", kept, err)
		}
		other := record(1)
		other.Queue.Number++
		if kept, err := s.Park(t.Context(), other); err != nil || !kept {
			t.Errorf("one of another queue: %v, %v", kept, err)
		}
		count(Most)
		list, unreadable, err := s.List(t.Context(), queue)
		must(t, err)
		if len(unreadable) > 0 {
			t.Errorf("it cannot read %v", unreadable)
		}
		if len(list) != Most {
			t.Fatalf("%d are listed", len(list))
		}
		for i := range list {
			want := record(i)
			if i == 3 {
				want = again
			}
			if list[i].Body = append([]byte(nil), list[i].Body...); len(want.Body) == 0 {
				want.Body = nil
			}
			if !reflect.DeepEqual(&list[i], want) {
				t.Errorf("number %d is %+v, want %+v", i, list[i], want)
			}
		}
		must(t, s.Remove(t.Context(), queue, list[0].Mark, list[5].Mark))
		must(t, s.Remove(t.Context(), queue))
		count(Most - 2)
	})
}

// What is no parked record is told, and hides nothing else.
func TestRubbish(t *testing.T) {
	address := servicestest.Redis(t)
	c := redistest.Client(t, address)
	s := New(c, redistest.Prefix(t, address))
	queue := record(0).Queue
	_, err := s.Park(t.Context(), record(1))
	must(t, err)
	whole := record(2).append(nil)
	long := bytes.Clone(whole)
	long[headSize-1] = 0xff // a reason longer than the value
	later := bytes.Clone(whole)
	later[0]++
	for i, value := range [][]byte{{}, whole[:headSize-1], long, later} {
		must(t, c.HSet(t.Context(), s.key(queue), field(chain.Mark{Offset: int64(i) + 5, Writer: 1, Number: 1}), value).Err())
	}
	must(t, c.HSet(t.Context(), s.key(queue), "a field", whole).Err())
	list, unreadable, err := s.List(t.Context(), queue)
	must(t, err)
	var names []string
	for _, u := range unreadable {
		names = append(names, u.Name())
	}
	if want := []string{"5", "6", "7", "8", "x61206669656c64"}; !slices.Equal(names, want) {
		t.Errorf("unreadable are %v, want %v", names, want)
	}
	if len(list) != 1 || list[0].Reason != "reason 1" {
		t.Errorf("listed are %+v", list)
	}

	// Each can be dropped by its name, and nothing else with it.
	for i, name := range append(names, "1") {
		if r, u, err := s.Drop(t.Context(), queue, name); err != nil || len(r)+len(u) != 1 {
			t.Errorf("%s: dropped are %v and %v, %v", name, r, u, err)
		}
		if n, err := s.Count(t.Context(), queue); err != nil || n != len(names)-i {
			t.Errorf("%s: %d are left, %v", name, n, err)
		}
	}
	if r, u, err := s.Drop(t.Context(), queue, "1"); err != nil || len(r)+len(u) != 0 {
		t.Errorf("dropped are %v and %v, %v", r, u, err)
	}
}
