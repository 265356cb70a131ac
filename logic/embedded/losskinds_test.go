package embedded

import (
	"path/filepath"
	"slices"
	"testing"
)

// nothing is what a start says that finds all that was acked.
const nothing = ""

// flip changes a bit at a place between the beginning (0) and the end (1) of a file.
func flip(at float64) func([]byte) []byte {
	return func(b []byte) []byte {
		b[min(int(at*float64(len(b))), len(b)-1)] ^= 0x10
		return b
	}
}

// cut keeps a part of a file.
func cut(part float64) func([]byte) []byte {
	return func(b []byte) []byte { return b[:int(part*float64(len(b)))] }
}

func garbled([]byte) []byte { return []byte("this is not what was written here") }

// cutRecords takes the last bytes that are not zero off a log.
func cutRecords(n int) func([]byte) []byte {
	return func(b []byte) []byte {
		end := len(b)
		for end > 0 && b[end-1] == 0 {
			end--
		}
		return b[:end-n]
	}
}

// The kinds of damage with which a start may meet. says is a part of the sentence with
// which it is refused, or nothing.
var lossKinds = []struct {
	name   string
	damage func(d *lossDisk)
	says   string
}{
	{"no damage", func(*lossDisk) {}, nothing},

	{"MANIFEST: a bit near its end", func(d *lossDisk) { d.change(d.manifest(), flip(0.98)) }, "the store has a hole: of the"},
	{"MANIFEST: a bit in its middle", func(d *lossDisk) { d.change(d.manifest(), flip(0.5)) }, "the store has a hole: of the"},
	{"MANIFEST: its first bit", func(d *lossDisk) { d.change(d.manifest(), flip(0)) }, "cannot open"},
	{"MANIFEST: the last byte is missing", func(d *lossDisk) { d.change(d.manifest(), func(b []byte) []byte { return b[:len(b)-1] }) }, "the store has a hole: of the"},
	{"MANIFEST: half of it", func(d *lossDisk) { d.change(d.manifest(), cut(0.5)) }, "the store has a hole: of the"},
	{"MANIFEST: empty", func(d *lossDisk) { d.change(d.manifest(), cut(0)) }, "cannot open"},
	{"MANIFEST: garbled", func(d *lossDisk) { d.change(d.manifest(), garbled) }, "cannot open"},
	{"MANIFEST: deleted", func(d *lossDisk) { d.remove(d.manifest()) }, "cannot open"},

	{"marker of the MANIFEST: deleted", func(d *lossDisk) { d.remove(d.named("marker.manifest.", "")...) }, "marker.manifest.* is missing"},
	{"marker of the MANIFEST: deleted, and made again by hand", func(d *lossDisk) {
		d.remove(d.named("marker.manifest.", "")...)
		d.make("marker.manifest.999999."+d.fs.PathBase(d.manifest()), cut(0))
	}, nothing},
	{"marker of the MANIFEST: names another", func(d *lossDisk) {
		d.rename(d.named("marker.manifest.", "")[0], "marker.manifest.000009.MANIFEST-000099")
	}, "cannot open"},
	{"marker of the format: deleted", func(d *lossDisk) { d.remove(d.named("marker.format-version.", "")...) }, "cannot open"},
	{"all markers deleted", func(d *lossDisk) { d.remove(d.named("marker.", "")...) }, "marker.manifest.* is missing"},
	{"a marker that is none", func(d *lossDisk) { d.make("marker.x", garbled) }, "cannot open"},

	{"newest log: deleted", func(d *lossDisk) { d.remove(d.newestLog()) }, "behind what it had reached at 20"},
	{"newest log: empty", func(d *lossDisk) { d.change(d.newestLog(), cut(0)) }, "behind what it had reached at 20"},
	{"newest log: half of it", func(d *lossDisk) {
		d.change(d.newestLog(), func(b []byte) []byte { return cut(0.5)(cutRecords(0)(b)) })
	}, "behind what it had reached at 20"},
	{"newest log: the last byte is missing", func(d *lossDisk) { d.change(d.newestLog(), cutRecords(1)) }, "1 commit behind what it had reached at 20"},
	{"newest log: its first bit", func(d *lossDisk) { d.change(d.newestLog(), flip(0)) }, "cannot open"},
	{"newest log: a bit in its middle", func(d *lossDisk) {
		d.change(d.newestLog(), func(b []byte) []byte { flip(0.5)(cutRecords(0)(b)); return b })
	}, "cannot open"},
	{"newest log: a bit near its end", func(d *lossDisk) {
		d.change(d.newestLog(), func(b []byte) []byte { flip(0.99)(cutRecords(0)(b)); return b })
	}, "behind what it had reached at 20"},
	{"newest log: zeros", func(d *lossDisk) { d.change(d.newestLog(), func(b []byte) []byte { clear(b); return b }) }, "behind what it had reached at 20"},
	{"newest log: garbled", func(d *lossDisk) { d.change(d.newestLog(), garbled) }, "behind what it had reached at 20"},
	{"newest log: in the place of an older one", func(d *lossDisk) {
		b := d.read(d.newestLog())
		d.change(d.olderLog(), func([]byte) []byte { return b })
	}, "cannot open"},
	{"older log: deleted", func(d *lossDisk) { d.remove(d.olderLog()) }, "the store has a hole: of the"},
	{"older log: empty", func(d *lossDisk) { d.change(d.olderLog(), cut(0)) }, "the store has a hole: of the"},
	{"older log: half of it", func(d *lossDisk) { d.change(d.olderLog(), cut(0.5)) }, "cannot open"},
	{"older log: a bit in its middle", func(d *lossDisk) { d.change(d.olderLog(), flip(0.5)) }, "cannot open"},
	{"all logs deleted", func(d *lossDisk) { d.remove(d.named("", ".log")...) }, "behind what it had reached at 20"},

	{"newest table: deleted", func(d *lossDisk) { d.remove(d.newestTable()) }, "cannot open"},
	{"newest table: empty", func(d *lossDisk) { d.change(d.newestTable(), cut(0)) }, "cannot open"},
	{"newest table: half of it", func(d *lossDisk) { d.change(d.newestTable(), cut(0.5)) }, "cannot open"},
	{"all tables deleted", func(d *lossDisk) { d.remove(d.named("", ".sst")...) }, "cannot open"},

	{"folder: emptied", func(d *lossDisk) { d.remove(d.named("", "")...) }, "the store is gone"},
	{"folder: gone", func(d *lossDisk) { d.remove(d.dir) }, "the store is gone"},
	{"folder: of another store", func(d *lossDisk) { d.replace(d.another, "") }, "this is another store"},
	{"folder: an older copy", func(d *lossDisk) { d.replace(d.older, "") }, "behind what it had reached at 20"},
	{"folder: only tables and logs", func(d *lossDisk) {
		d.remove(slices.Concat(d.named("marker.", ""), d.named("MANIFEST-", ""), d.named("OPTIONS-", ""))...)
	}, "marker.manifest.* is missing"},

	{"mark: deleted", func(d *lossDisk) { d.remove(markPath(d.dir)) }, "is missing, so nothing says what the store had reached"},
	{"mark: empty", func(d *lossDisk) { d.change(markPath(d.dir), cut(0)) }, "both slots of the mark"},
	{"mark: both slots", func(d *lossDisk) {
		d.change(markPath(d.dir), func(b []byte) []byte { return flip(0.75)(flip(0.25)(b)) })
	}, "both slots of the mark"},
	{"mark: garbled", func(d *lossDisk) { d.change(markPath(d.dir), garbled) }, "both slots of the mark"},
	{"mark: of another store", func(d *lossDisk) { d.replace(d.another, ".mark") }, "this is another store"},
	{"mark: one slot", func(d *lossDisk) { d.change(markPath(d.dir), flip(0.25)) }, nothing},
	{"mark: the other slot", func(d *lossDisk) { d.change(markPath(d.dir), flip(0.75)) }, nothing},
	{"mark: half of it", func(d *lossDisk) { d.change(markPath(d.dir), cut(0.5)) }, nothing},
	{"mark: a slot and a half", func(d *lossDisk) { d.change(markPath(d.dir), cut(0.75)) }, nothing},
	{"mark: an older one", func(d *lossDisk) { d.replace(d.older, ".mark") }, nothing},
	{"mark: half made", func(d *lossDisk) { d.make(filepath.Join("..", lossFolder+".mark.new"), garbled) }, nothing},

	{"OPTIONS: deleted", func(d *lossDisk) { d.remove(d.named("OPTIONS-", "")...) }, nothing},
	{"OPTIONS: empty", func(d *lossDisk) { d.changeAll("OPTIONS-", cut(0)) }, nothing},
	{"OPTIONS: garbled", func(d *lossDisk) { d.changeAll("OPTIONS-", garbled) }, "cannot open"},
	{"LOCK: deleted", func(d *lossDisk) { d.remove(d.fs.PathJoin(d.dir, "LOCK")) }, nothing},
	{"something else in the folder", func(d *lossDisk) { d.make("000123.dbtmp", garbled); d.make("lost+found", garbled) }, nothing},
}

// TestEveryLossIsSaid: each kind of damage ends in a store that has all that was
// acked, or in a start that is refused, says why and changes nothing, on the disk and in
// memory.
func TestEveryLossIsSaid(t *testing.T) {
	x := newTemplates(t)
	for _, kind := range lossKinds {
		t.Run(kind.name, func(t *testing.T) {
			for name, memory := range map[string]bool{"disk": false, "memory": true} {
				t.Run(name, func(t *testing.T) {
					t.Parallel() // it waits for the disk
					d := newLossDisk(t, x, memory)
					kind.damage(d)
					if kind.says == nothing {
						d.openWhole()
						return
					}
					d.goOnWithout(d.refused(kind.says))
				})
			}
		})
	}
}

// TestNothingIsLeft: with the folder gone and the mark damaged not even the name of the
// store is known. What goes on is another store, and clients are told so.
func TestNothingIsLeft(t *testing.T) {
	d := newLossDisk(t, newTemplates(t), true)
	whole, _, err := readMark(d.fs, markPath(d.dir))
	if err != nil {
		t.Fatal(err)
	}
	d.change(markPath(d.dir), garbled)
	d.remove(d.dir)
	s := d.open(d.refused("both slots of the mark").Code)
	name := s.Identity()
	if e := mustSend(t, s, 1, 1, 2, 1); name == whole.identity || e.Seq != 1 {
		t.Errorf("store %x, which was %x, gives its first message %+v", name, whole.identity, e)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = d.open("")
	defer s.Close()
	if head := headOf(t, s, direct(1, 2)); head != 1 || s.Identity() != name {
		t.Errorf("after a restart store %x has head %d", s.Identity(), head)
	}
}

// TestTheLastSecond is what the mark cannot see, and all that it cannot see: commits
// after it was written, if their log is lost as well; and a folder that is gone
// together with its mark.
func TestTheLastSecond(t *testing.T) {
	x := newTemplates(t)
	t.Run("commits after the mark", func(t *testing.T) {
		d := newLossDisk(t, x, true)
		d.replace(x.older, ".mark")
		d.remove(d.named("", ".log")...)
		s := d.open("")
		defer s.Close()
		for c, list := range x.acked {
			if head := headOf(t, s, c); head < uint64(x.atOlder[c]) || head > uint64(len(list)) {
				t.Errorf("%v has head %d; the mark knows of %d messages, acked were %d", c, head, x.atOlder[c], len(list))
			}
		}
	})
	t.Run("folder and mark", func(t *testing.T) {
		d := newLossDisk(t, x, true)
		whole, _, err := readMark(d.fs, markPath(d.dir))
		if err != nil {
			t.Fatal(err)
		}
		d.remove(d.dir, markPath(d.dir))
		s := d.open("")
		defer s.Close()
		if s.Identity() == whole.identity {
			t.Error("the new store has the name of the old one: clients would take its seqs for those that they have")
		}
		if e := mustSend(t, s, 1, 1, 2, 1); e.Seq != 1 {
			t.Errorf("its first message got seq %d", e.Seq)
		}
	})
}
