package embedded

import (
	iofs "io/fs"
	"maps"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"gannet/logic"
	"gannet/protocol"
)

// What is advised at the end of sentences.
const (
	adviceRoom  = "; make room, and start again"
	adviceDisk  = "; look at what the kernel says of this disk, keep a copy of the folder, and start again"
	adviceRight = "; give the user that runs gannet the right to read and to write it, and start again"
)

// meets has the calls that fit give the error.
func meets(err error, at func(op errorfs.Op) bool) func(d *lossDisk) {
	return func(d *lossDisk) { d.small, d.fault = true, &faulty{err: err, at: at} }
}

// fromTheStart is meets for a start.
func fromTheStart(err error, at func(op errorfs.Op) bool) func(d *lossDisk) {
	return func(d *lossDisk) {
		meets(err, at)(d)
		d.fault.armed.Store(true)
	}
}

// fresh is a start in a folder without a store.
func fresh(do func(d *lossDisk)) func(d *lossDisk) {
	return func(d *lossDisk) {
		d.remove(d.dir, markPath(d.dir))
		none := *d.templates
		none.acked = nil
		d.templates = &none
		do(d)
	}
}

func isMark(op errorfs.Op) bool {
	return strings.HasSuffix(op.Path, ".mark") || strings.HasSuffix(op.Path, ".mark.new")
}

func isFolderSync(op errorfs.Op) bool { return isSync(op) && filepath.Base(op.Path) == lossFolder }

func isWrite(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpFileWriteAt
}

func isOpen(op errorfs.Op) bool { return op.Kind == errorfs.OpOpen }

// startCases are starts on a disk that fails, is full, or may not be read.
func startCases() []damageCase {
	manifestWrite := func(op errorfs.Op) bool { return isManifest(op) && isWrite(op) }
	manifestSync := func(op errorfs.Op) bool { return isManifest(op) && isSync(op) }
	manifestOpen := func(op errorfs.Op) bool { return isManifest(op) && isOpen(op) }
	manifestRead := func(op errorfs.Op) bool { return isManifest(op) && op.Kind == errorfs.OpFileRead }
	logCreate := func(op errorfs.Op) bool { return isLog(op.Path) && op.Kind == errorfs.OpCreate }
	logWrite := func(op errorfs.Op) bool { return isLog(op.Path) && isWrite(op) }
	logOpen := func(op errorfs.Op) bool { return isLog(op.Path) && isOpen(op) }
	logRead := func(op errorfs.Op) bool {
		return isLog(op.Path) && (op.Kind == errorfs.OpFileRead || op.Kind == errorfs.OpFileReadAt)
	}
	tableWrite := func(op errorfs.Op) bool { return isTable(op.Path) && isWrite(op) }
	markWrite := func(op errorfs.Op) bool { return isMark(op) && isWrite(op) }
	markSync := func(op errorfs.Op) bool { return isMark(op) && isSync(op) }
	markOpen := func(op errorfs.Op) bool { return isMark(op) && isOpen(op) }
	rename := func(op errorfs.Op) bool { return op.Kind == errorfs.OpRename }
	settings := func(op errorfs.Op) bool { return isOpen(op) && isSettings(filepath.Base(op.Path)) }
	folders := func(op errorfs.Op) bool { return op.Kind == errorfs.OpList }
	const (
		eio, enospc = syscall.EIO, syscall.ENOSPC
		manifest    = "embedded: cannot open $DIR: …MANIFEST-#"
	)
	return []damageCase{
		{"start: the MANIFEST has no room", fromTheStart(enospc, manifestWrite), held, manifest + ": no space left on device" + adviceRoom},
		{"start: the MANIFEST cannot be written", fromTheStart(eio, manifestWrite), held, manifest + ": input/output error" + adviceDisk},
		{"start: the MANIFEST has no room to be synced", fromTheStart(enospc, manifestSync), held, manifest + ": no space left on device" + adviceRoom},
		{"start: the MANIFEST cannot be synced", fromTheStart(eio, manifestSync), held, manifest + ": input/output error" + adviceDisk},
		{"start: no room for a log", fromTheStart(enospc, logCreate), held, "embedded: cannot open $DIR: …#.log: no space left on device" + adviceRoom},
		{"start: a log cannot be begun", fromTheStart(eio, logCreate), held, "embedded: cannot open $DIR: …#.log: input/output error" + adviceDisk},
		{"start: no room for a table", fromTheStart(enospc, tableWrite), held, "embedded: cannot open $DIR: …#.sst: no space left on device" + adviceRoom},
		{"start: a table cannot be written", fromTheStart(eio, tableWrite), held, "embedded: cannot open $DIR: …#.sst: input/output error" + adviceDisk},
		{"start: the mark cannot be written", fromTheStart(eio, markWrite), held, "embedded: cannot use $DIR: the mark: …$DIR.mark: input/output error" + adviceDisk},
		{"start: the mark cannot be synced", fromTheStart(eio, markSync), held, "embedded: cannot use $DIR: the mark: …$DIR.mark: input/output error" + adviceDisk},
		{"start: the mark may not be read", fromTheStart(iofs.ErrPermission, markOpen), held, "embedded: cannot read the mark $DIR.mark: …permission denied" + adviceRight},
		{"start: nothing can be renamed", fromTheStart(eio, rename), held, "embedded: cannot open $DIR: …: input/output error" + adviceDisk},
		{"start: the names in the folder cannot be made durable", fromTheStart(eio, isFolderSync), held, "embedded: cannot open $DIR: …$DIR: input/output error" + adviceDisk},
		{"start: the folder cannot be listed", fromTheStart(eio, folders), held, "embedded: cannot open $DIR: …$DIR: input/output error" + adviceDisk},
		{"start: the folder may not be read", fromTheStart(iofs.ErrPermission, folders), held, "embedded: cannot open $DIR: …$DIR: permission denied" + adviceRight},
		{"start: the MANIFEST may not be read", fromTheStart(iofs.ErrPermission, manifestOpen), held, manifest + ": permission denied" + adviceRight},
		{"start: a log may not be read", fromTheStart(iofs.ErrPermission, logOpen), held, "embedded: cannot open $DIR: …#.log: permission denied" + adviceRight},
		{"start: the OPTIONS may not be read", fromTheStart(iofs.ErrPermission, settings), held, "embedded: cannot open $DIR: …OPTIONS-#: permission denied" + adviceRight},
		{"start: the MANIFEST cannot be opened", fromTheStart(eio, manifestOpen), held, manifest + ": input/output error" + adviceDisk},
		{"start: the MANIFEST cannot be read", fromTheStart(eio, manifestRead), held, manifest + ": input/output error" + adviceDisk},
		{"start: a log cannot be read", fromTheStart(eio, logRead), held, "embedded: cannot open $DIR: …#.log: input/output error" + adviceDisk},
		{"start: no memory for the MANIFEST", fromTheStart(syscall.ENOMEM, manifestRead), held, manifest + ": cannot allocate memory; make memory free, and start again"},
		{"start: too many open files of the process", fromTheStart(syscall.EMFILE, manifestOpen), held, manifest + ": too many open files; raise the limit of open files, and start again"},
		{"start: too many open files of the machine", fromTheStart(syscall.ENFILE, manifestOpen), held, manifest + ": too many open files in system; raise the limit of open files, and start again"},
		{"start: the disk is full", func(d *lossDisk) { d.room = 1 << 20 }, held, "embedded: cannot open the store: the disk is full: $DIR has 1024 KiB free and a start needs # MiB, of which # KiB are logs to be written out; make room, or move the data folder to a larger disk: nothing is lost"},
		{"start: a file in the place of the folder", func(d *lossDisk) {
			d.remove(d.dir)
			d.make("../"+lossFolder, garbled)
			d.undo = func() { d.replace(d.whole, "") }
		}, held, "embedded: cannot open $DIR: not a directory; move what is there out of the way, and start again"},

		{"first start: the MANIFEST has no room", fresh(fromTheStart(enospc, manifestWrite)), held, manifest + ": no space left on device" + adviceRoom},
		{"first start: the MANIFEST cannot be synced", fresh(fromTheStart(eio, manifestSync)), held, manifest + ": input/output error" + adviceDisk},
		{"first start: a log cannot be begun", fresh(fromTheStart(eio, logCreate)), held, "embedded: cannot open $DIR: …#.log: input/output error" + adviceDisk},
		{"first start: a log has no room", fresh(fromTheStart(enospc, logWrite)), held, "embedded: cannot use $DIR: …#.log: no space left on device" + adviceRoom},
		{"first start: the mark cannot be written", fresh(fromTheStart(eio, markWrite)), held, "embedded: cannot use $DIR: the mark: …$DIR.mark…: input/output error" + adviceDisk},
	}
}

// runCases are disks that fail or fill up under a store that runs.
var runCases = []damageCase{
	{"running: no room for the next log", meets(syscall.ENOSPC, func(op errorfs.Op) bool { return isLog(op.Path) && op.Kind == errorfs.OpCreate }), fails,
		"logic: the store is unavailable: writing failed: a write-ahead log could not be begun: …$DIR/#.log: no space left on device"},
	{"running: the next log is begun on a disk that is read-only", meets(syscall.EROFS, func(op errorfs.Op) bool { return isLog(op.Path) && op.Kind == errorfs.OpCreate }), fails,
		"logic: the store is unavailable: writing failed: a write-ahead log could not be begun: …$DIR/#.log: read-only file system"},
	{"running: a log has no room", meets(syscall.ENOSPC, func(op errorfs.Op) bool { return isLog(op.Path) && isWrite(op) }), fails,
		"logic: the store is unavailable: writing failed: a write-ahead log could not be written: …$DIR/#.log: no space left on device"},
	{"running: a log takes half of a write", func(d *lossDisk) { d.small, d.fault = true, &faulty{half: true} }, fails,
		"logic: the store is unavailable: writing failed: a write-ahead log could not be written: $DIR/#.log: short write"},
	{"running: a log cannot be synced", meets(syscall.EIO, func(op errorfs.Op) bool { return isLog(op.Path) && isSync(op) }), fails,
		"logic: the store is unavailable: writing failed: a write-ahead log could not be written: …$DIR/#.log: input/output error"},
	{"running: a table cannot be written", meets(syscall.EIO, func(op errorfs.Op) bool { return isTable(op.Path) && isWrite(op) }), fails,
		"logic: the store is unavailable: writing failed: a flush failed: …$DIR/#.sst: input/output error"},
	{"running: a table cannot be synced", meets(syscall.EIO, func(op errorfs.Op) bool { return isTable(op.Path) && isSync(op) }), fails,
		"logic: the store is unavailable: writing failed: a flush failed: …$DIR/#.sst: input/output error"},
	{"running: the MANIFEST has no room", meets(syscall.ENOSPC, func(op errorfs.Op) bool { return isManifest(op) && isWrite(op) }), fails,
		"logic: the store is unavailable: writing failed: …$DIR/MANIFEST-#: no space left on device"},
	{"running: the MANIFEST cannot be synced", meets(syscall.EIO, func(op errorfs.Op) bool { return isManifest(op) && isSync(op) }), fails,
		"logic: the store is unavailable: writing failed: …$DIR/MANIFEST-#: input/output error"},
	{"running: the names in the folder cannot be made durable", meets(syscall.EIO, isFolderSync), fails, "logic: the store is unavailable: writing failed: a new file could not be made durable: …$DIR: input/output error"},
	{"running: the mark cannot be written", meets(syscall.EIO, func(op errorfs.Op) bool { return isMark(op) && isWrite(op) }), fails,
		"logic: the store is unavailable: writing failed: the mark: …$DIR.mark: input/output error"},
	{"running: the mark cannot be synced", meets(syscall.EIO, func(op errorfs.Op) bool { return isMark(op) && isSync(op) }), fails,
		"logic: the store is unavailable: writing failed: the mark: …$DIR.mark: input/output error"},
	{"running: the disk is nearly full", func(d *lossDisk) { d.room = 1<<30 - 1<<20 }, full, "messages are refused: the disk has 1023 MiB free"},
	{"running: the disk is full", func(d *lossDisk) { d.room = 1 << 20 }, full, "messages are refused: the disk has 1024 KiB free"},
}

// sendUntil sends to many, breaks the disk once something is acked, and waits for the
// store to fail. It gives the newest seqs that were acked, by peer.
func (d *lossDisk) sendUntil(s *Store, breaks func()) map[uint64]uint64 {
	d.Helper()
	const first, n = 20, 8
	for peer := uint64(first + n); peer < first+2*n; peer++ { // acks that wait in every queue
		mustSend(d.T, s, 1, 1, peer, 1)
		new(entries).ack(peer, 1, 1, 1).mustApply(d.T, s)
	}
	var acked [n]atomic.Uint64
	ctx := d.Context()
	for i := range acked {
		go func() { // may stay in Pebble for ever
			for id := uint64(1); s.Err() == nil; id++ {
				b := new(entries).large(1, 1, first+uint64(i), id, 4<<10)
				b.Queue = s.queueOf(b.Entries[0].Conversation).index
				if s.Apply(ctx, []*logic.Batch{&b.Batch}) == nil && b.Err == nil && b.Entries[0].Outcome == logic.Applied {
					acked[i].Store(b.Entries[0].Seq)
				} else if b.Entries[0].Outcome == logic.Refused && b.Entries[0].Code == protocol.CodeBusy {
					time.Sleep(time.Millisecond) // as a client would
				}
			}
		}()
	}
	await(d.T, "something is acked", func() bool { return acked[0].Load() > 10 })
	breaks()
	within(d.T, "the store fails", func() { <-s.Failed() })
	newest := make(map[uint64]uint64)
	for i := range acked {
		newest[first+uint64(i)] = acked[i].Load() // before the crash; a commit may still be under way
	}
	return maps.Clone(newest)
}
