package embedded

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"gannet/logic"
)

// dying is a file system that is copied, as a crash leaves it, before the write with a
// number.
type dying struct {
	*vfs.MemFS
	at  int
	cfg vfs.CrashCloneCfg

	mu     sync.Mutex
	writes int
	left   *vfs.MemFS // nil: it lived
}

// MaybeError implements errorfs.Injector.
func (d *dying) MaybeError(op errorfs.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		if d.writes++; d.writes == d.at {
			d.left = d.CrashClone(d.cfg)
		}
	}
	return nil
}

func (*dying) String() string { return "dying" }

// eachCrash calls open, which opens and closes a store, again and again on a copy of
// disk, dying one write later each time, and then check with what is left.
func eachCrash(t *testing.T, disk *vfs.MemFS, open func(fs vfs.FS), check func(left *vfs.MemFS)) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, percent := range []int{0, 50} {
		for at := 1; ; at++ {
			d := &dying{MemFS: disk.CrashClone(vfs.CrashCloneCfg{}), at: at, cfg: vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}}
			open(errorfs.Wrap(d.MemFS, d))
			if d.left == nil {
				if at < 10 {
					t.Fatalf("opening writes only %d times", at-1)
				}
				break
			}
			check(d.left)
			if t.Failed() {
				t.Fatalf("that was write %d, with %d %% of what was not synced", at, percent)
			}
		}
	}
}

func openAndClose(t *testing.T, fs vfs.FS, opts Options) {
	t.Helper()
	opts.FS, opts.Queues, opts.Log = fs, 2, slog.New(slog.DiscardHandler)
	opts.tune = func(o *pebble.Options) { o.DisableAutomaticCompactions = true }
	s, err := Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCrashWhileOpening: a machine that dies while a store is opened, or made, is no
// reason to refuse it.
func TestCrashWhileOpening(t *testing.T) {
	t.Run("a new store", func(t *testing.T) {
		eachCrash(t, vfs.NewCrashableMem(), func(fs vfs.FS) { openAndClose(t, fs, Options{}) }, func(left *vfs.MemFS) {
			s := mustOpen(t, Options{Queues: 2, FS: left})
			if e := mustSend(t, s, 1, 1, 2, 1); e.Seq != 1 {
				t.Errorf("the first message got %+v", e)
			}
		})
	})
	t.Run("after a crash", func(t *testing.T) {
		disk := vfs.NewCrashableMem()
		s := mustOpen(t, Options{Queues: 3, FS: disk})
		for id := uint64(1); id <= 20; id++ {
			mustSend(t, s, 1, 1, 2+id%3, id)
		}
		want := headOf(t, s, direct(1, 2))
		eachCrash(t, disk, func(fs vfs.FS) { openAndClose(t, fs, Options{}) }, func(left *vfs.MemFS) {
			s := mustOpen(t, Options{Queues: 2, FS: left})
			if s.mark.next.total() != 20 {
				t.Errorf("the mark has %d commits", s.mark.next.total())
			}
			if e := mustSend(t, s, 1, 1, 2, 99); e.Outcome != logic.Applied || e.Seq != want+1 {
				t.Errorf("the next message got %+v, want seq %d", e, want+1)
			}
		})
	})
}

// TestCrashWhileGoingOn: a machine that dies while something is given up leaves a store
// that is refused as before, or one that goes on; never one that gives a seq out again.
func TestCrashWhileGoingOn(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := mustOpen(t, Options{Queues: 2, FS: disk})
	for id := uint64(1); id <= 10; id++ {
		mustSend(t, s, 1, 1, 2, id)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	older := disk.CrashClone(vfs.CrashCloneCfg{})
	s = mustOpen(t, Options{Queues: 2, FS: disk})
	for id := uint64(11); id <= 30; id++ {
		mustSend(t, s, 1, 1, 2, id)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, mark := range map[string]bool{"an older folder": true, "an older folder without a mark": false} {
		t.Run(name, func(t *testing.T) {
			damaged := older.CrashClone(vfs.CrashCloneCfg{})
			if err := damaged.Remove("data.mark"); err != nil {
				t.Fatal(err)
			}
			if mark {
				if ok, err := vfs.Clone(disk, damaged, "data.mark", "data.mark", vfs.CloneSync); !ok || err != nil {
					t.Fatal(ok, err)
				}
			}
			root, err := damaged.OpenDir("")
			if err := errors.Join(err, root.Sync(), root.Close()); err != nil {
				t.Fatal(err)
			}
			var loss *LossError
			if _, err := Open("data", Options{Queues: 2, FS: damaged.CrashClone(vfs.CrashCloneCfg{})}); !errors.As(err, &loss) {
				t.Fatalf("Open gives %v", err)
			}
			refused, went := 0, 0
			eachCrash(t, damaged, func(fs vfs.FS) { openAndClose(t, fs, Options{GiveUp: loss.Code}) }, func(left *vfs.MemFS) {
				opts := Options{Queues: 2, FS: left, Log: slog.New(slog.DiscardHandler)}
				s, err := Open("data", opts)
				var again *LossError
				if errors.As(err, &again) {
					refused++
					opts.GiveUp = again.Code
					s, err = Open("data", opts)
				} else {
					went++
				}
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				for id := uint64(1); id <= 10; id++ {
					if e := mustSend(t, s, 1, 1, 2, id); e.Outcome != logic.Repeated || e.Seq != id {
						t.Errorf("the retry of message %d, which is there, got %+v", id, e)
					}
				}
				if e := mustSend(t, s, 1, 1, 2, 31); e.Outcome != logic.Applied || e.Seq <= defaultBlock {
					t.Errorf("the next message got %+v", e)
				}
			})
			if refused == 0 || went == 0 {
				t.Errorf("it was refused %d times and went on %d times", refused, went)
			}
		})
	}
}
