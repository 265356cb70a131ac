package view

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"gannet/internal/chain"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// TestValues: what is encoded comes back, with bytes behind it that a later program
// added; every shorter value is damaged, and one of a later version is said to be that.
func TestValues(t *testing.T) {
	p := &ledger.Progress{Head: 9, Time: 77, Count: 8, Changed: 1234567}
	progress := string(appendProgress(nil, p)) + number(p.Changed)
	m := ledger.Member{User: 1 << 60, Delivered: 9, Read: 5, Total: 4, Count: 4, Own: 2, Changed: 7, Counted: true}
	d := ledger.Device{User: 1 << 60, Device: 3, MaxID: ^uint64(0), Last: 9, Acked: 8, Changed: 6, Time: 5}
	mark := chain.Mark{Offset: 5, Writer: 1 << 63, Number: 3}
	body := strings.Repeat("x", 300)
	whole := protocol.Message{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: 9, Sender: 1, Device: 3, ClientID: 4, Content: protocol.ContentText, Body: []byte(body)}
	last, err := appendLast(nil, whole.AppendPayload(nil))
	if err != nil {
		t.Fatal(err)
	}
	whole.Body = whole.Body[:protocol.MaxPreview]
	for _, c := range []struct {
		name, value string
		grows       bool
		read        func(value string) (any, error)
		want        any
	}{
		{"mark", string(appendMark(nil, mark)), true, func(v string) (any, error) { return readMark(v) }, mark},
		{"beginning", string(appendMark(nil, chain.Beginning)), true, func(v string) (any, error) { return readMark(v) }, chain.Beginning},
		{"progress", progress, true, func(v string) (any, error) { return readProgress(v) }, *p},
		{"member", string(appendMember(nil, &m)), true, func(v string) (any, error) { return readMember("m"+number(m.User), v, p) }, m},
		{"device", string(appendDevice(nil, &d)), true, func(v string) (any, error) { return readDevice("d"+number(d.User)+number(d.Device), v, p) }, d},
		{"preview", string(last), false, func(v string) (any, error) { b, n, err := readLast(v, p); return [2]any{string(b), n}, err }, [2]any{string(whole.AppendPayload(nil)), uint32(300)}},
	} {
		if got, err := c.read(c.value); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Fatalf("%s came back as %+v, %v; was %+v", c.name, got, err, c.want)
		}
		if got, err := c.read(c.value + "later"); c.grows && (err != nil || !reflect.DeepEqual(got, c.want)) {
			t.Fatalf("a longer %s came back as %+v, %v", c.name, got, err)
		}
		for n := range c.value {
			if got, err := c.read(c.value[:n]); !errors.Is(err, errDamaged) {
				t.Fatalf("%d bytes of %s came back as %+v, %v", n, c.name, got, err)
			}
		}
		if got, err := c.read("\x02" + c.value[1:]); !errors.Is(err, errLater) {
			t.Fatalf("%s of a later version came back as %+v, %v", c.name, got, err)
		}
	}
}

// TestDamagedNumbers: numbers that cannot be are damage, before anybody reckons with them.
func TestDamagedNumbers(t *testing.T) {
	p := &ledger.Progress{Head: 9, Count: 8}
	for _, bad := range []ledger.Progress{{}, {Head: 5, Count: 6}, {Head: 1 << 60}, {Head: 5, Changed: 1 << 52}} {
		if got, err := readProgress(string(appendProgress(nil, &bad)) + number(bad.Changed)); !errors.Is(err, errDamaged) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, bad := range []ledger.Member{{Delivered: 10}, {Read: 10}, {Total: 9}, {Count: 9}, {Count: 4, Total: 2, Own: 3}, {Count: 1, Total: 4, Own: 2}, {Read: 9, Count: 7, Total: 4, Own: 2, Counted: true}} {
		if got, err := readMember("m"+number(1), string(appendMember(nil, &bad)), p); !errors.Is(err, errDamaged) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, bad := range []ledger.Device{{Last: 10}, {Acked: 10}} {
		if got, err := readDevice("d"+number(1)+number(2), string(appendDevice(nil, &bad)), p); !errors.Is(err, errDamaged) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if got, err := readMark(string(appendMark(nil, chain.Mark{Offset: -2}))); !errors.Is(err, errDamaged) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"short", number(1 << 52), number(^uint64(0))} {
		if got, err := readStamp(bad); !errors.Is(err, errDamaged) {
			t.Errorf("%d, %v", got, err)
		}
	}
}

// TestAnswers: nothing that Redis may answer makes a reader panic.
func TestAnswers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var random func(depth int) any
	random = func(depth int) any {
		switch n := rng.IntN(8); {
		case n == 0:
			return nil
		case n == 1:
			return rng.Int64()
		case n < 5 || depth == 0:
			return []string{"", "p", "l", "x", "m12345678", "d1234567812345678", "\x01" + strings.Repeat("\x00", rng.IntN(60)), "\x01123456789"[:9]}[rng.IntN(8)]
		}
		list := make([]any, rng.IntN(10))
		for i := range list {
			list[i] = random(depth - 1)
		}
		return list
	}
	for range 20_000 {
		l, _ := random(3).([]any)
		var c ledger.Loaded
		if last, err := readConversation(l, &c, false); err == nil && c.Head > 0 {
			_, _, _ = readLast(last, &c.Progress)
			t.Fatalf("noise became %+v", c)
		}
		if list, _, _, err := merge([]int{0, 1}, []answer{l, l}); err == nil {
			for _, f := range list {
				if err := f.read(&logic.InboxQuery{User: 1}); err == nil {
					t.Fatalf("noise became %+v", f.state)
				}
			}
		}
	}
}

// TestMerge: a page goes as far as the queue that was looked through least.
func TestMerge(t *testing.T) {
	target := func(id uint64) string {
		return string(appendTarget(nil, protocol.Target{Kind: protocol.KindDirect, ID: id}))
	}
	part := func(more int64, upto uint64, ids ...uint64) answer {
		a := answer{int64(1), "", target(upto), more}
		for _, id := range ids {
			a = append(a, []any{target(id), []any{}})
		}
		return a
	}
	for _, c := range []struct {
		parts   []answer
		want    []uint64
		horizon uint64
		more    bool
	}{
		{[]answer{part(1, 30, 10, 30), part(0, 90, 20, 40, 90)}, []uint64{10, 20, 30}, 30, true},
		{[]answer{part(1, 30, 10), part(1, 15, 12)}, []uint64{10, 12}, 15, true},
		{[]answer{part(0, 30, 10), part(0, 90, 40, 90)}, []uint64{10, 40, 90}, 90, false},
	} {
		list, horizon, more, err := merge([]int{0, 1}, c.parts)
		var got []uint64
		for _, f := range list {
			got = append(got, f.target.ID)
		}
		if err != nil || !reflect.DeepEqual(got, c.want) || horizon.ID != c.horizon || more != c.more {
			t.Fatalf("%v, up to %v, more %v, %v; want %v, %d, %v", got, horizon, more, err, c.want, c.horizon, c.more)
		}
	}
}

func TestNames(t *testing.T) {
	for _, bad := range []string{"", "a{b", "a}b", "a:b", "a b", strings.Repeat("x", nameLimit+1), "ä"} {
		if checkName(bad) == nil {
			t.Errorf("%q can be the name of a cluster", bad)
		}
	}
	if err := checkName("gannet-1.test_A"); err != nil {
		t.Error(err)
	}
	seen := map[int64]chain.Queue{}
	for _, class := range []chain.Class{chain.Chat, chain.System} {
		for n := range protocol.Partitions {
			q := chain.Queue{Class: class, Number: n}
			if other, taken := seen[maskBit(q)]; taken {
				t.Fatalf("%v and %v have one bit", q, other)
			}
			seen[maskBit(q)] = q
		}
	}
}

func TestSince(t *testing.T) {
	a, b := &View{options: Options{Name: "a"}}, &View{options: Options{Name: "b"}}
	taken := 0
	for stamp := uint64(1_700_000_000_000_000); stamp < 1_700_000_000_010_000; stamp++ {
		if got, ok := a.stampOf(a.since(stamp)); !ok || got != stamp || a.since(stamp) >= a.since(stamp+1) {
			t.Fatalf("%d came back as %d, %v", stamp, got, ok)
		}
		if _, ok := b.stampOf(a.since(stamp)); ok {
			taken++
		}
	}
	if taken > 100 {
		t.Fatalf("%d of 10000 sinces of another cluster were taken", taken)
	}
	for _, since := range []uint64{0, 1, ^uint64(0)} {
		if got, ok := a.stampOf(since); ok {
			t.Errorf("%d was taken for %d", since, got)
		}
	}
}
