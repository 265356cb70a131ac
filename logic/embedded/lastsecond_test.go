package embedded

import "testing"

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
	s := d.open(d.refused(bothSlots).Code)
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
