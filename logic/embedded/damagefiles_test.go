package embedded

import (
	"path/filepath"
	"slices"
	"strings"
)

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

// Sentences that several kinds of damage end in.
const (
	hole      = `embedded: $DIR: the store has a hole: of the # commits of queue # only # are there: a write-ahead log (*.log), or what the MANIFEST-* named, is lost`
	goneAll   = `embedded: $DIR: the store is gone: there is no database in the folder, and it had reached # commits at # UTC`
	bothSlots = `embedded: $DIR: both slots of the mark $DIR.mark are damaged, so nothing says what the store had reached`
	noMarker  = `embedded: $DIR: the file marker.manifest.* is missing: # tables and logs are there, and nothing says which of them count`
	badLog    = `embedded: cannot open $DIR: the write-ahead log #.log is damaged: …`
	behind    = `embedded: $DIR: the store is # commits behind what it had reached at # UTC: the end of a write-ahead log (*.log) or of the MANIFEST-* is lost, or the folder is an older copy`
)

// fileCases are files of the folder, and the mark beside it, that are damaged while the
// server is down.
var fileCases = []damageCase{
	{"no damage", func(*lossDisk) {}, whole, ""},

	{"MANIFEST: a bit near its end", func(d *lossDisk) { d.change(d.manifest(), flip(0.98)) }, lost, hole},
	{"MANIFEST: a bit in its middle", func(d *lossDisk) { d.change(d.manifest(), flip(0.5)) }, lost, hole},
	{"MANIFEST: its first bit", func(d *lossDisk) { d.change(d.manifest(), flip(0)) }, lost, `embedded: cannot open $DIR: pebble: malformed manifest file "MANIFEST-#" for DB "$DIR"`},
	{"MANIFEST: the last byte is missing", func(d *lossDisk) { d.change(d.manifest(), func(b []byte) []byte { return b[:len(b)-1] }) }, lost, hole},
	{"MANIFEST: half of it", func(d *lossDisk) { d.change(d.manifest(), cut(0.5)) }, lost, hole},
	{"MANIFEST: empty", func(d *lossDisk) { d.change(d.manifest(), cut(0)) }, lost, `embedded: cannot open $DIR: pebble: malformed manifest file "MANIFEST-#" for DB "$DIR"`},
	{"MANIFEST: garbled", func(d *lossDisk) { d.change(d.manifest(), garbled) }, lost, `embedded: cannot open $DIR: pebble: malformed manifest file "MANIFEST-#" for DB "$DIR"`},
	{"MANIFEST: deleted", func(d *lossDisk) { d.remove(d.manifest()) }, lost, `embedded: cannot open $DIR: pebble: could not open manifest file "MANIFEST-#" for DB "$DIR": open $DIR/MANIFEST-#: …`},

	{"marker of the MANIFEST: deleted", func(d *lossDisk) { d.remove(d.named("marker.manifest.", "")...) }, lost, noMarker},
	{"marker of the MANIFEST: deleted, and made again by hand", func(d *lossDisk) {
		d.remove(d.named("marker.manifest.", "")...)
		d.make("marker.manifest.999999."+d.fs.PathBase(d.manifest()), cut(0))
	}, whole, ""},
	{"marker of the MANIFEST: names another", func(d *lossDisk) {
		d.rename(d.named("marker.manifest.", "")[0], "marker.manifest.000009.MANIFEST-000099")
	}, lost, `embedded: cannot open $DIR: pebble: could not open manifest file "MANIFEST-000099" for DB "$DIR": open $DIR/MANIFEST-000099: …`},
	{"marker of the format: deleted", func(d *lossDisk) { d.remove(d.named("marker.format-version.", "")...) }, lost, `embedded: cannot open $DIR: the file marker.format-version.* is missing: …`},
	{"all markers deleted", func(d *lossDisk) { d.remove(d.named("marker.", "")...) }, lost, noMarker},
	{"a marker that is none", func(d *lossDisk) { d.make("marker.x", garbled) }, lost, `embedded: cannot open $DIR: the file marker.x is none of a store's: …`},

	{"newest log: deleted", func(d *lossDisk) { d.remove(d.newestLog()) }, lost, behind},
	{"newest log: empty", func(d *lossDisk) { d.change(d.newestLog(), cut(0)) }, lost, behind},
	{"newest log: half of it", func(d *lossDisk) {
		d.change(d.newestLog(), func(b []byte) []byte { return cut(0.5)(cutRecords(0)(b)) })
	}, lost, behind},
	{"newest log: the last byte is missing", func(d *lossDisk) { d.change(d.newestLog(), cutRecords(1)) }, lost, strings.Replace(behind, "# commits", "1 commit", 1)},
	{"newest log: its first bit", func(d *lossDisk) { d.change(d.newestLog(), flip(0)) }, lost, badLog},
	{"newest log: a bit in its middle", func(d *lossDisk) {
		d.change(d.newestLog(), func(b []byte) []byte { flip(0.5)(cutRecords(0)(b)); return b })
	}, lost, badLog},
	{"newest log: a bit near its end", func(d *lossDisk) {
		d.change(d.newestLog(), func(b []byte) []byte { flip(0.99)(cutRecords(0)(b)); return b })
	}, lost, behind},
	{"newest log: zeros", func(d *lossDisk) { d.change(d.newestLog(), func(b []byte) []byte { clear(b); return b }) }, lost, behind},
	{"newest log: garbled", func(d *lossDisk) { d.change(d.newestLog(), garbled) }, lost, behind},
	{"newest log: in the place of an older one", func(d *lossDisk) {
		b := d.read(d.newestLog())
		d.change(d.olderLog(), func([]byte) []byte { return b })
	}, lost, badLog},
	{"older log: deleted", func(d *lossDisk) { d.remove(d.olderLog()) }, lost, hole},
	{"older log: empty", func(d *lossDisk) { d.change(d.olderLog(), cut(0)) }, lost, hole},
	{"older log: half of it", func(d *lossDisk) { d.change(d.olderLog(), cut(0.5)) }, lost, badLog},
	{"older log: a bit in its middle", func(d *lossDisk) { d.change(d.olderLog(), flip(0.5)) }, lost, badLog},
	{"all logs deleted", func(d *lossDisk) { d.remove(d.named("", ".log")...) }, lost, behind},

	{"newest table: deleted", func(d *lossDisk) { d.remove(d.newestTable()) }, lost, `embedded: cannot open $DIR: the table #.sst is missing: …`},
	{"newest table: empty", func(d *lossDisk) { d.change(d.newestTable(), cut(0)) }, lost, `embedded: cannot open $DIR: L0: #: object size mismatch ($DIR/#.sst): 0 (disk) != # (MANIFEST)`},
	{"newest table: half of it", func(d *lossDisk) { d.change(d.newestTable(), cut(0.5)) }, lost, `embedded: cannot open $DIR: L0: #: object size mismatch ($DIR/#.sst): # (disk) != # (MANIFEST)`},
	{"all tables deleted", func(d *lossDisk) { d.remove(d.named("", ".sst")...) }, lost, `embedded: cannot open $DIR: the table #.sst is missing: …`},

	{"folder: emptied", func(d *lossDisk) { d.remove(d.named("", "")...) }, lost, goneAll},
	{"folder: gone", func(d *lossDisk) { d.remove(d.dir) }, lost, goneAll},
	{"folder: of another store", func(d *lossDisk) { d.replace(d.another, "") }, lost, `embedded: $DIR: this is another store (…) than the mark $DIR.mark says (…)`},
	{"folder: an older copy", func(d *lossDisk) { d.replace(d.older, "") }, lost, behind},
	{"folder: only tables and logs", func(d *lossDisk) {
		d.remove(slices.Concat(d.named("marker.", ""), d.named("MANIFEST-", ""), d.named("OPTIONS-", ""))...)
	}, lost, noMarker},

	{"mark: deleted", func(d *lossDisk) { d.remove(markPath(d.dir)) }, lost, `embedded: $DIR: the mark $DIR.mark is missing, so nothing says what the store had reached`},
	{"mark: empty", func(d *lossDisk) { d.change(markPath(d.dir), cut(0)) }, lost, bothSlots},
	{"mark: both slots", func(d *lossDisk) {
		d.change(markPath(d.dir), func(b []byte) []byte { return flip(0.75)(flip(0.25)(b)) })
	}, lost, bothSlots},
	{"mark: garbled", func(d *lossDisk) { d.change(markPath(d.dir), garbled) }, lost, bothSlots},
	{"mark: of another store", func(d *lossDisk) { d.replace(d.another, ".mark") }, lost, `embedded: $DIR: this is another store (…) than the mark $DIR.mark says (…)`},
	{"mark: one slot", func(d *lossDisk) { d.change(markPath(d.dir), flip(0.25)) }, whole, ""},
	{"mark: the other slot", func(d *lossDisk) { d.change(markPath(d.dir), flip(0.75)) }, whole, ""},
	{"mark: half of it", func(d *lossDisk) { d.change(markPath(d.dir), cut(0.5)) }, whole, ""},
	{"mark: a slot and a half", func(d *lossDisk) { d.change(markPath(d.dir), cut(0.75)) }, whole, ""},
	{"mark: an older one", func(d *lossDisk) { d.replace(d.older, ".mark") }, whole, ""},
	{"mark: half made", func(d *lossDisk) { d.make(filepath.Join("..", lossFolder+".mark.new"), garbled) }, whole, ""},

	{"OPTIONS: deleted", func(d *lossDisk) { d.remove(d.named("OPTIONS-", "")...) }, whole, ""},
	{"OPTIONS: empty", func(d *lossDisk) { d.changeAll("OPTIONS-", cut(0)) }, whole, ""},
	{"OPTIONS: garbled", func(d *lossDisk) { d.changeAll("OPTIONS-", garbled) }, lost, `embedded: cannot open $DIR: the file OPTIONS-# is damaged, and without it a start writes it anew: …`},
	{"LOCK: deleted", func(d *lossDisk) { d.remove(d.fs.PathJoin(d.dir, "LOCK")) }, whole, ""},
	{"something else in the folder", func(d *lossDisk) { d.make("000123.dbtmp", garbled); d.make("lost+found", garbled) }, whole, ""},
}
