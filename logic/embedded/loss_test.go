package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"gannet/logic"
	"gannet/protocol"
)

// lossFolder is where the damaged stores are.
const lossFolder = "db"

// templates are stores as a kill -9 leaves them, on the disk: with tables, and with
// several write-ahead logs of which nothing is in a table yet.
type templates struct {
	whole   string // the store
	older   string // as it was some time before, when it was stopped
	another string // another one
	acked   map[protocol.Conversation][]acked
	atOlder map[protocol.Conversation]int // messages
	since   uint64                        // that a client was told last
}

// acked is a message that was answered.
type acked struct {
	user, id, seq, time uint64
}

const (
	lossPeers = 4
	lossPart  = 160 // commits of a part of a store's life
	lossBatch = 5   // messages of a commit
)

// newTemplates makes the stores.
func newTemplates(t *testing.T) *templates {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name, lossFolder) }
	x := &templates{whole: at("whole"), older: at("older"), another: at("another"), acked: make(map[protocol.Conversation][]acked), atOlder: make(map[protocol.Conversation]int)}
	id := uint64(0)
	open := func(path string, fs vfs.FS) *Store {
		if err := fs.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, lossOptions(fs))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	send := func(s *Store, n int) {
		for range n {
			id++
			user, peer := 1+id%2, 2+id%lossPeers // to and fro with user 2, and others
			if user == peer {
				user = 1
			}
			b := new(entries)
			for range lossBatch {
				b.send(user, 1, peer, id)
				id++
			}
			c := direct(user, peer)
			for _, e := range b.read(user, 1, peer, 1<<60).mustApply(t, s)[:lossBatch] {
				x.acked[c] = append(x.acked[c], acked{user, e.ClientID, e.Seq, e.Time})
			}
		}
	}
	copyTo := func(to, from string) {
		if err := vfs.Default.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", ".mark"} {
			if ok, err := vfs.Clone(vfs.Default, vfs.Default, from+suffix, to+suffix); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
	}

	s := open(x.another, vfs.Default)
	mustSend(t, s, 1, 1, 2, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	live := at("live")
	s = open(live, vfs.Default)
	send(s, lossPart)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for c, list := range x.acked {
		x.atOlder[c] = len(list)
	}
	copyTo(x.older, live)

	// Flushes that do not end leave several logs.
	var held atomic.Bool
	release := make(chan struct{})
	s = open(live, errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") && held.Load() {
			<-release
		}
		return nil
	})))
	for range 3 {
		send(s, lossPart/4)
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	held.Store(true)
	for range 2 {
		send(s, lossPart/4)
		if _, err := s.db.AsyncFlush(); err != nil {
			t.Fatal(err)
		}
	}
	send(s, lossPart) // more than Pebble looks ahead behind what it cannot read
	for made := commitsOf(t, s); ; time.Sleep(time.Millisecond) {
		if m, _, err := readMark(vfs.Default, markPath(live)); err == nil && m.total() == made {
			break
		}
	}
	copyTo(x.whole, live)
	x.since = s.stamps.next()
	held.Store(false)
	close(release)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return x
}

func lossOptions(fs vfs.FS) Options {
	return Options{
		Queues: 3, FS: fs, Log: slog.New(slog.DiscardHandler), markPause: time.Millisecond,
		tune: func(o *pebble.Options) { o.DisableAutomaticCompactions = true },
	}
}

// lossDisk is a copy of a store that is going to be damaged.
type lossDisk struct {
	*testing.T
	*templates
	fs   vfs.FS
	root string // the folder that the store's folder is in
	dir  string

	fault *faulty // that opening meets
	room  uint64  // bytes that are free; 0: as many as there are
	small bool    // a few messages fill a table
	undo  func()  // takes the cause away
	log   *said
}

// options gives what the store is opened with.
func (d *lossDisk) options() Options {
	opts := lossOptions(d.fs)
	if d.fault != nil {
		opts.FS = d.fault.wrap(d.fs)
	}
	if d.room > 0 {
		room := &roomy{FS: opts.FS}
		room.free.Store(d.room)
		opts.FS = room
	}
	if d.small {
		opts.tune = smallTables
	}
	opts.Log = slog.New(d.log)
	return opts
}

// newLossDisk copies the whole store, to the disk or to memory.
func newLossDisk(t *testing.T, x *templates, memory bool) *lossDisk {
	d := &lossDisk{T: t, templates: x, fs: vfs.Default, undo: func() {}, log: &said{}}
	if memory {
		d.fs, d.root = vfs.NewCrashableMem(), "data"
		if err := d.fs.MkdirAll(d.root, 0o700); err != nil {
			t.Fatal(err)
		}
	} else {
		d.root = d.folder()
	}
	d.dir = d.fs.PathJoin(d.root, lossFolder)
	d.replace(x.whole, "")
	d.replace(x.whole, ".mark")
	if memory {
		for _, path := range []string{"", d.root} {
			d.sync(path)
		}
	}
	return d
}

// folder makes a folder on the disk that is removed when the test ends, as far as a store
// that failed lets go of it.
func (d *lossDisk) folder() string {
	d.Helper()
	path, err := os.MkdirTemp("", "damaged")
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { _ = os.RemoveAll(path) })
	return path
}

// replace puts a template's folder, or its mark, in the place of what is there.
func (d *lossDisk) replace(from, suffix string) {
	d.Helper()
	if err := d.fs.RemoveAll(d.dir + suffix); err != nil {
		d.Fatal(err)
	}
	if ok, err := vfs.Clone(vfs.Default, d.fs, from+suffix, d.dir+suffix, vfs.CloneSync); err != nil || !ok {
		d.Fatal(ok, err)
	}
}

// sync makes the names in a folder durable.
func (d *lossDisk) sync(path string) {
	d.Helper()
	f, err := d.fs.OpenDir(path)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		d.Fatal(err)
	}
}

// named gives the files whose names begin and end like this, oldest first: at least
// one.
func (d *lossDisk) named(begin, end string) (paths []string) {
	d.Helper()
	names, err := d.fs.List(d.dir)
	if err != nil {
		d.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, begin) && strings.HasSuffix(name, end) {
			paths = append(paths, d.fs.PathJoin(d.dir, name))
		}
	}
	if len(paths) == 0 {
		d.Fatalf("there is no file %s*%s among %v", begin, end, names)
	}
	return paths
}

func (d *lossDisk) manifest() string {
	files := d.named("MANIFEST-", "")
	return files[len(files)-1]
}

// newestLog and olderLog have messages that are in no table.
func (d *lossDisk) newestLog() string {
	files := d.named("", ".log")
	return files[len(files)-1]
}

func (d *lossDisk) olderLog() string {
	files := d.named("", ".log")
	if len(files) < 3 {
		d.Fatalf("there are only the logs %v", files)
	}
	return files[len(files)-2]
}

func (d *lossDisk) read(path string) []byte {
	d.Helper()
	f, err := d.fs.Open(path)
	if err != nil {
		d.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		d.Fatal(err)
	}
	return b
}

// change replaces what is in a file.
func (d *lossDisk) change(path string, change func([]byte) []byte) {
	d.Helper()
	b := change(d.read(path))
	f, err := d.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		d.Fatal(err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		d.Fatal(err)
	}
}

func (d *lossDisk) remove(paths ...string) {
	d.Helper()
	for _, path := range paths {
		if err := d.fs.RemoveAll(path); err != nil {
			d.Fatal(err)
		}
	}
}

// state is every file of the folder and the mark, but for the lock.
func (d *lossDisk) state() map[string]string {
	d.Helper()
	state := make(map[string]string)
	names, err := d.fs.List(d.dir)
	if err != nil {
		names = nil // no folder
	}
	for _, name := range names {
		if name != "LOCK" {
			state[name] = string(d.read(d.fs.PathJoin(d.dir, name)))
		}
	}
	if _, err := d.fs.Stat(markPath(d.dir)); err == nil {
		state["mark"] = string(d.read(markPath(d.dir)))
	}
	return state
}

// page gives what is there of a conversation.
func (d *lossDisk) page(s *Store, c protocol.Conversation) (p logic.Page, messages []protocol.Message) {
	d.Helper()
	p = logic.Page{Conversation: c, Limit: 1 << 20, Room: 1 << 30}
	if err := s.Pages(d.Context(), []*logic.Page{&p}); err != nil || p.Err != nil {
		d.Fatal(err, p.Err)
	}
	for rest := p.Items; len(rest) > 0; {
		size := binary.BigEndian.Uint32(rest)
		var m protocol.Message
		if err := m.Decode(rest[4 : 4+size]); err != nil {
			d.Fatal(err)
		}
		messages, rest = append(messages, m), rest[4+size:]
	}
	return p, messages
}

func (a acked) String() string {
	return fmt.Sprintf("seq %d of user %d, client id %d", a.seq, a.user, a.id)
}
