package embedded

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/protocol"
)

// newestTable is a table that is in use.
func (d *lossDisk) newestTable() string {
	files := d.named("", ".sst")
	return files[len(files)-1]
}

func (d *lossDisk) rename(path, name string) {
	d.Helper()
	if err := d.fs.Rename(path, d.fs.PathJoin(d.dir, name)); err != nil {
		d.Fatal(err)
	}
}

func (d *lossDisk) changeAll(begin string, change func([]byte) []byte) {
	d.Helper()
	for _, path := range d.named(begin, "") {
		d.change(path, change)
	}
}

// make makes a file.
func (d *lossDisk) make(name string, content func([]byte) []byte) {
	d.Helper()
	path := d.fs.PathJoin(d.dir, name)
	f, err := d.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		d.Fatal(err)
	}
	if err := f.Close(); err != nil {
		d.Fatal(err)
	}
	d.change(path, content)
}

// looked gives the conversations that are looked at: all in memory, some on the disk,
// where each write takes its time.
func (d *lossDisk) looked() map[protocol.Conversation][]acked {
	all := maps.Clone(d.acked)
	for c := range d.acked {
		if d.fs == vfs.Default && len(all) > 2 {
			delete(all, c)
		}
	}
	return all
}

func (d *lossDisk) open(code string) *Store {
	d.Helper()
	opts := d.options()
	opts.GiveUp = code
	s, err := Open(d.dir, opts)
	if err != nil {
		d.Fatal(err)
	}
	return s
}

// openWhole opens the store and looks for everything that was acked.
func (d *lossDisk) openWhole() {
	d.Helper()
	s := d.open("")
	defer func() {
		if err := s.Close(); err != nil {
			d.Error(err)
		}
	}()
	for c, list := range d.looked() {
		page, messages := d.page(s, c)
		if len(messages) != len(list) || page.Head != uint64(len(list)) {
			d.Fatalf("%v has %d messages and head %d, acked were %d", c, len(messages), page.Head, len(list))
		}
		for i, m := range messages {
			if want := list[i]; m.Seq != want.seq || m.ClientID != want.id || m.Time != want.time || m.Sender != want.user {
				d.Fatalf("%v has %+v, acked was %v", c, m, want)
			}
		}
		first := list[0]
		peer := c.Target(first.user).ID
		if e := mustSend(d.T, s, first.user, 1, peer, first.id); e.Outcome != logic.Repeated || e.Seq != first.seq {
			d.Errorf("the retry of %v got %+v", first, e)
		}
		if e := mustSend(d.T, s, first.user, 1, peer, 1<<40); e.Outcome != logic.Applied || e.Seq != uint64(len(list))+1 {
			d.Errorf("the next message of %v got %+v, want seq %d", c, e, len(list)+1)
		}
	}
}

// says checks a sentence word by word: # stands for a number, a name of numbers or a
// time, … for anything.
func (d *lossDisk) says(got, want string) {
	d.Helper()
	if !d.sentence(want).MatchString(got) {
		d.Errorf("it is said:\n%s\nwant:\n%s", got, want)
	}
}

func (d *lossDisk) sentence(want string) *regexp.Regexp {
	pattern := strings.NewReplacer(`\$DIR`, regexp.QuoteMeta(d.dir), "#", "[0-9][0-9,: -]*", "…", "(?s:.+)").Replace(regexp.QuoteMeta(want))
	return regexp.MustCompile("^" + pattern + "$")
}

// told checks that the log has the sentence.
func (d *lossDisk) told(want string) {
	d.Helper()
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	if !slices.ContainsFunc(d.log.lines, d.sentence(want).MatchString) {
		d.Errorf("the log says:\n%s\nwant among it:\n%s", strings.Join(d.log.lines, "\n"), want)
	}
}

// refused opens the store, which must be refused with this sentence, again and again,
// and must leave everything as it is. It gives the loss.
func (d *lossDisk) refused(says string) (loss *LossError) {
	d.Helper()
	before := d.state()
	for _, code := range []string{"", "", "00000000"} {
		opts := d.options()
		opts.GiveUp = code
		s, err := Open(d.dir, opts)
		if err == nil {
			s.Close()
			d.Fatalf("it was opened; want a refusal that says %q", says)
		}
		var again *LossError
		if !errors.As(err, &again) || !errors.Is(err, ErrLost) {
			d.Fatalf("the error is %v, want a LossError", err)
		}
		if loss != nil && (again.Code != loss.Code || again.Missing != loss.Missing) {
			d.Errorf("it was refused with %v, before with %v", again, loss)
		}
		loss = again
		d.says(again.Missing, says)
		for _, want := range []string{"nothing was changed", "restore a backup", markPath(d.dir)} {
			if !strings.Contains(err.Error(), want) {
				d.Errorf("the error is %q and does not say %q", err, want)
			}
		}
		if now := d.state(); !maps.Equal(now, before) {
			for name := range before {
				if now[name] != before[name] {
					d.Errorf("%s was changed", name)
				}
			}
			d.Fatalf("the folder has %d files, had %d", len(now), len(before))
		}
	}
	return loss
}

// goOnWithout gives up what is missing, where that is possible: what is left is as it
// was, no seq is given out twice, and clients can tell.
func (d *lossDisk) goOnWithout(loss *LossError) {
	d.Helper()
	if loss.Code == "" {
		if !strings.Contains(loss.Error(), "move it out of the way") {
			d.Errorf("the error is %q and does not say what to do", loss)
		}
		// So it is done, and what is said then goes on.
		d.remove(d.dir)
		loss = d.refused(goneAll)
	}
	original, _, err := readMark(vfs.Default, markPath(d.whole))
	if err != nil {
		d.Fatal(err)
	}
	s := d.open(loss.Code)
	contents, err := readContents(s.db)
	if err != nil {
		d.Fatal(err)
	}
	next := make(map[protocol.Conversation]uint64)
	for c, list := range d.looked() {
		last := list[len(list)-1].seq
		page, messages := d.page(s, c)
		left := make(map[uint64]bool)
		for _, m := range messages {
			if s.Identity() != original.identity {
				break // it has messages of its own
			}
			if was := list[m.Seq-1]; m.ClientID != was.id || m.Time != was.time || m.Sender != was.user {
				d.Fatalf("%v has %+v, acked was %v", c, m, was)
			}
			left[m.Seq] = true
		}
		user, peer := list[0].user, c.Target(list[0].user).ID
		for _, state := range []protocol.State{stateOf(d.T, s, user, 1, peer), stateOf(d.T, s, peer, 1, user)} {
			if state.Head != page.Head || max(state.Read, state.Delivered, state.Acked) > state.Head || state.Unread > state.Head {
				d.Errorf("one sees %+v of %v, the head is %d", state, c, page.Head)
			}
		}
		// A retry of what is left is known, of what is lost it is a new message.
		retries := new(entries)
		for _, m := range list {
			retries.send(m.user, 1, c.Target(m.user).ID, m.id)
		}
		for i, e := range retries.mustApply(d.T, s) {
			was := list[i]
			if left[was.seq] && (e.Outcome != logic.Repeated || e.Seq != was.seq || e.Time != was.time) ||
				!left[was.seq] && s.Identity() == original.identity && (e.Outcome != logic.Applied || e.Seq <= max(last, contents.floor)) {
				d.Fatalf("the retry of %v, left: %v, got %+v; the floor is %d", was, left[was.seq], e, contents.floor)
			}
		}
		e := mustSend(d.T, s, user, 1, peer, 1<<40)
		if e.Outcome != logic.Applied || e.Seq <= max(last, contents.floor) {
			d.Fatalf("the next message of %v got %+v; acked was %v, the floor is %d", c, e, last, contents.floor)
		}
		mustRead(d.T, s, peer, user, e.Seq)
		e = mustSend(d.T, s, user, 1, peer, 1<<40+1)
		if state := stateOf(d.T, s, peer, 1, user); state.Head != e.Seq || user != peer && state.Unread != 1 {
			d.Errorf("user %d sees %+v after one more than what was read", peer, state)
		}
		told, err := s.Changed(d.Context(), logic.InboxQuery{User: peer, Device: 1, Since: d.since, Limit: 100, Room: 1 << 20})
		if err != nil || !slices.ContainsFunc(told.States, func(x protocol.State) bool { return x.Target == to(user) }) {
			d.Errorf("user %d, who had synced before the loss, is not told of seq %d (%v)", peer, e.Seq, err)
		}
		if page, messages := d.page(s, c); page.First != 1 || page.Last != e.Seq || len(messages) == 0 || messages[len(messages)-1].Seq != e.Seq {
			d.Errorf("the page goes from %d to %d, with %d messages; want up to %d", page.First, page.Last, len(messages), e.Seq)
		}
		next[c] = e.Seq + 1
	}
	if err := s.Close(); err != nil {
		d.Fatal(err)
	}
	s = d.open("") // from here on it is a store like any other
	for c, seq := range next {
		user := d.acked[c][0].user
		if e := mustSend(d.T, s, user, 1, c.Target(user).ID, 1<<41); e.Outcome != logic.Applied || e.Seq != seq {
			d.Errorf("after a restart the next message of %v got %+v, want seq %d", c, e, seq)
		}
	}
	if err := s.Close(); err != nil {
		d.Fatal(err)
	}
}

func mustRead(t *testing.T, s *Store, user, peer, seq uint64) {
	t.Helper()
	new(entries).read(user, 1, peer, seq).mustApply(t, s)
}
