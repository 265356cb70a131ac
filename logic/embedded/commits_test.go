package embedded

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestCommitsMerge: however records of commits are put together, number and stamp
// are the highest and the counts add up.
func TestCommitsMerge(t *testing.T) {
	value := func(c commits) []byte {
		b := make([]byte, commitsSize)
		c.put(b)
		return b
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for n := 1; n < 40; n++ {
		first := rng.IntN(n) // older ones come as MergeOlder, newest first
		m, err := commitsMerger.Merge(nil, value(commits{uint64(first + 1), 1, uint64(10 * (first + 1))}))
		if err != nil {
			t.Fatal(err)
		}
		older, newer := first-1, first+1
		for older >= 0 || newer < n {
			if older >= 0 && (newer >= n || rng.IntN(2) == 0) {
				err = m.MergeOlder(value(commits{uint64(older + 1), 1, uint64(10 * (older + 1))}))
				older--
			} else {
				err = m.MergeNewer(value(commits{uint64(newer + 1), 1, uint64(10 * (newer + 1))}))
				newer++
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		whole, closer, err := m.Finish(true)
		if err != nil || closer != nil {
			t.Fatal(closer, err)
		}
		got, err := readCommits(whole)
		if want := (commits{uint64(n), uint64(n), uint64(10 * n)}); err != nil || got != want {
			t.Fatalf("%d commits became %+v (%v), want %+v", n, got, err, want)
		}
	}
	if _, err := commitsMerger.Merge(nil, make([]byte, commitsSize-1)); err == nil {
		t.Error("a record that is cut was taken")
	}
	m, err := commitsMerger.Merge(nil, value(commits{1, 1, 1}))
	if err != nil || m.MergeNewer(nil) == nil || m.MergeOlder(make([]byte, commitsSize+1)) == nil {
		t.Error("a record of another size was taken")
	}
}

// TestCommitsAddUp: in a store that is whole the count is the number, over flushes,
// compactions, crashes and other numbers of queues.
func TestCommitsAddUp(t *testing.T) {
	disk := vfs.NewCrashableMem()
	total, stamp := uint64(0), uint64(0)
	id := uint64(0)
	for life, queues := range []int{1, 4, 2, 7, 4, 1} {
		s := mustOpen(t, Options{Queues: queues, FS: disk})
		for i := range 40 {
			id++
			mustSend(t, s, 1, 1, 2+id%20, id)
			total++
			switch i {
			case 10:
				if err := s.db.Flush(); err != nil {
					t.Fatal(err)
				}
			case 20:
				if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := commitsOf(t, s); got < total {
			t.Fatalf("life %d: the store knows of %d commits, made were %d", life, got, total)
		}
		total = commitsOf(t, s) // with those of acks
		if life%2 == 0 {
			disk = disk.CrashClone(vfs.CrashCloneCfg{})
		} else if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		all, err := readAllCommits(copyOf(t, disk, queues).db)
		last := all.stamp()
		if err != nil || all.hole() != nil || last < total || last < stamp {
			t.Fatalf("life %d: the highest stamp is %d (%v), after %d and %d commits", life, last, err, stamp, total)
		}
		stamp = last
	}
}

// copyOf opens a copy of the store.
func copyOf(t *testing.T, disk *vfs.MemFS, queues int) *Store {
	t.Helper()
	return mustOpen(t, Options{Queues: queues, FS: disk.CrashClone(vfs.CrashCloneCfg{})})
}

// TestHole: a store in which commits are missing is refused, also when they are of a
// queue that this process has not.
func TestHole(t *testing.T) {
	for _, queue := range []int{0, 5} {
		disk := vfs.NewMem()
		s := mustOpen(t, Options{Queues: 6, FS: disk})
		peers := uint64(2)
		for ; s.queueOf(direct(1, peers)).index != queue; peers++ {
		}
		for id := uint64(1); id <= 5; id++ {
			mustSend(t, s, 1, 1, peers, id)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		whole := rewriteCommits(t, disk, queue, func(c commits) commits { return c })
		if whole.number < 5 || whole.number != whole.count {
			t.Fatalf("a whole store has %+v", whole)
		}
		rewriteCommits(t, disk, queue, func(c commits) commits { c.count--; return c })
		refused(t, disk, ErrHole, "queue", "restore a backup")
		rewriteCommits(t, disk, queue, func(c commits) commits { c.count += 2; return c })
		refused(t, disk, ErrHole)
		rewriteCommits(t, disk, queue, func(c commits) commits { return whole })
		s = mustOpen(t, Options{Queues: 2, FS: disk})
		if head := headOf(t, s, direct(1, peers)); head != 5 {
			t.Fatalf("the whole store has head %d, want 5", head)
		}
	}
}

// TestLostCommit: a commit that vanished although later ones are there is noticed.
func TestLostCommit(t *testing.T) {
	disk := vfs.NewMem()
	s := mustOpen(t, Options{Queues: 1, FS: disk})
	mustSend(t, s, 1, 1, 2, 1)
	s.queues[0].made++ // the record of a commit that is nowhere
	mustSend(t, s, 1, 1, 2, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, disk, ErrHole)
}

func TestDamagedCommits(t *testing.T) {
	disk := vfs.NewMem()
	s := mustOpen(t, Options{Queues: 1, FS: disk})
	mustSend(t, s, 1, 1, 2, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := rawOpen(t, disk, nil)
	if err := db.Set(commitsKey(0), []byte("short"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, disk, errCorrupt)
}

// rewriteCommits changes the commits of a queue on the disk and gives what they were.
func rewriteCommits(t *testing.T, disk vfs.FS, queue int, change func(commits) commits) commits {
	t.Helper()
	db := rawOpen(t, disk, nil)
	defer db.Close()
	value, closer, err := db.Get(commitsKey(queue))
	if err != nil {
		t.Fatal(err)
	}
	was, err := readCommits(value)
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	is := make([]byte, commitsSize)
	change(was).put(is)
	if err := db.Set(commitsKey(queue), is, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	return was
}
