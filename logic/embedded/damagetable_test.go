package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
)

// An ending is what damage comes to.
type ending string

const (
	// whole: everything that was acked is read back, and seqs go on.
	whole ending = "nothing that was acked is lost"

	// lost: the start is refused with the sentence and changes nothing. What is left
	// goes on by giving up what is missing, and no seq is given out twice.
	lost ending = "the start is refused, for something is missing"

	// held: the start is refused with the sentence, and once its cause is gone nothing
	// that was acked is lost.
	held ending = "the start is refused, for something is in its way"

	// fails: the store that runs ends in order with the sentence, and after a crash
	// nothing that was acked is lost.
	fails ending = "the store ends, for its disk has failed"

	// full: the store that runs refuses messages with the sentence and is read from, and
	// once there is room nothing that was acked is lost.
	full ending = "the store takes nothing"

	// apart: conversations whose records or blocks are damaged are unavailable with the
	// sentence, and all others are served.
	apart ending = "what is damaged is unavailable"
)

// damageCase is a kind of damage to a store with messages that were acked.
type damageCase struct {
	name string
	do   func(d *lossDisk) // to its files, or to what calls of the file system give
	end  ending
	says string // what the operator reads; see lossDisk.says
}

// damageCases are all of them.
func damageCases() []damageCase {
	return slices.Concat(fileCases, formatCases, startCases(), runCases, recordCases(), blockCases)
}

// TestStorageDamage: each kind of damage ends in a store that has all that was acked, or
// in a sentence that says what is damaged and what can be done; on the disk and in
// memory.
func TestStorageDamage(t *testing.T) {
	x := newTemplates(t)
	known := make(map[string]bool)
	for _, c := range damageCases() {
		if known[c.name] || (c.end == whole) != (c.says == "") {
			t.Fatalf("case %q has no name of its own, or an ending that does not fit what it says", c.name)
		}
		known[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			for name, memory := range map[string]bool{"disk": false, "memory": true} {
				if memory && c.end == apart {
					continue // where files lie is no matter then
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel() // it waits for the disk
					if c.end == apart {
						d := &lossDisk{T: t, log: &said{}, undo: func() {}}
						c.do(d)
						d.told(c.says)
						return
					}
					d := newLossDisk(t, x, memory)
					c.do(d)
					d.end(c.end, c.says)
				})
			}
		})
	}
	if len(known) < 100 {
		t.Errorf("only %d kinds of damage", len(known))
	}
}

func (d *lossDisk) end(how ending, says string) {
	d.Helper()
	if d.fs != vfs.Default { // what was damaged is so after a crash as well
		d.sync(d.root)
		if info, err := d.fs.Stat(d.dir); err == nil && info.IsDir() {
			d.sync(d.dir)
		}
	}
	switch how {
	case whole:
		d.openWhole()
	case lost:
		d.goOnWithout(d.refused(says))
	case held:
		d.held(says)
	case fails:
		d.fails(says)
	case full:
		d.full(says)
	default:
		d.Fatalf("there is no ending %q", how)
	}
}

// held opens the store in vain, and then without what was in its way.
func (d *lossDisk) held(says string) {
	d.Helper()
	for range 2 {
		within(d.T, "the start ends", func() {
			s, err := Open(d.dir, d.options())
			if err == nil {
				err = errors.New("it was opened")
				s.Close()
			}
			d.says(err.Error(), says)
			if errors.Is(err, ErrLost) {
				d.Errorf("%q is taken for a loss", err)
			}
		})
		d.crash() // the process has ended
	}
	if d.fault != nil && d.fault.met.Load() == 0 {
		d.Error("the fault was not met")
	}
	d.fault, d.room = nil, 0
	d.undo()
	d.openWhole()
}

// fails opens the store and lets its disk fail while many send.
func (d *lossDisk) fails(says string) {
	d.Helper()
	fault := d.fault
	s := d.open("")
	acked := d.sendUntil(s, func() { fault.armed.Store(true) })
	err := s.Err()
	d.says(err.Error(), says)
	if !errors.Is(err, logic.ErrUnavailable) {
		d.Errorf("the failure is %q", err)
	}
	within(d.T, "the store closes", func() {
		if err := s.Close(); err == nil {
			d.Error("Close says that all is well")
		}
	})
	await(d.T, "it is logged", func() bool {
		return d.log.has("embedded: the disk failed; nothing is accepted any more until this process is started anew err=")
	})
	if fault.met.Load() == 0 {
		d.Error("the fault was not met")
	}
	d.crash()
	d.fault = nil
	d.openWhole()
	s = d.open("")
	for peer, seq := range acked {
		if head := headOf(d.T, s, direct(1, peer)); head < seq {
			d.Errorf("of the conversation with %d %d messages are there, %d were acked", peer, head, seq)
		}
	}
	if err := s.Close(); err != nil {
		d.Error(err)
	}
}

// full opens the store and fills its disk.
func (d *lossDisk) full(says string) {
	d.Helper()
	room := &roomy{FS: d.fs}
	room.free.Store(2 << 30)
	opts := d.options()
	opts.FS = room
	s, err := Open(d.dir, opts)
	if err != nil {
		d.Fatal(err)
	}
	room.free.Store(d.room)
	d.room = 0
	await(d.T, "messages are refused", func() bool {
		e := trySend(d.T, s, 1, 1, 20, 1)
		return e.Outcome == logic.Refused
	})
	if err := s.Health(); err == nil {
		d.Error("a store without room says that it is well")
	} else {
		d.says(err.Error(), says)
	}
	for c, list := range d.looked() {
		if page, messages := d.page(s, c); len(messages) != len(list) || page.Head != uint64(len(list)) {
			d.Errorf("%v has %d messages and head %d, acked were %d", c, len(messages), page.Head, len(list))
		}
	}
	room.free.Store(2 << 30)
	await(d.T, "messages are taken", func() bool { return trySend(d.T, s, 1, 1, 20, 2).Outcome != logic.Refused })
	if err := s.Close(); err != nil {
		d.Error(err)
	}
	d.openWhole()
}

// crash leaves of the disk what a machine that dies does, or of a real one what a
// process that dies does.
func (d *lossDisk) crash() {
	d.Helper()
	if memory, ok := d.fs.(*vfs.MemFS); ok {
		d.fs = memory.CrashClone(vfs.CrashCloneCfg{})
		return
	}
	// A store that failed may still be writing a table: a copy is what was there at one
	// moment only if nothing changed meanwhile.
	await(d.T, "the folder is copied", func() bool {
		to, before := d.fs.PathJoin(d.folder(), lossFolder), d.sizes()
		for _, suffix := range []string{"", ".mark"} {
			if _, err := d.fs.Stat(d.dir + suffix); err != nil {
				continue // a first start has not got that far
			}
			if ok, err := vfs.Clone(d.fs, d.fs, d.dir+suffix, to+suffix); err != nil || !ok {
				return false
			}
		}
		if !maps.Equal(before, d.sizes()) {
			return false
		}
		d.dir = to
		return true
	})
}

// sizes gives the files of the folder with their sizes and times.
func (d *lossDisk) sizes() map[string]string {
	sizes := make(map[string]string)
	names, err := d.fs.List(d.dir)
	if err != nil {
		return sizes // there is no folder
	}
	for _, name := range names {
		if info, err := d.fs.Stat(d.fs.PathJoin(d.dir, name)); err == nil {
			sizes[name] = fmt.Sprint(info.Size(), info.ModTime())
		}
	}
	return sizes
}

// said keeps the records of a log.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (s *said) WithAttrs([]slog.Attr) slog.Handler               { return s }
func (s *said) WithGroup(string) slog.Handler                    { return s }

func (s *said) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
	return nil
}

// has says whether a line begins like this.
func (s *said) has(begin string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.lines, func(line string) bool { return strings.HasPrefix(line, begin) })
}
