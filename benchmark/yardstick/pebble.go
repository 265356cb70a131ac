package yardstick

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// StoreMemtable is the size of the server's memtables.
const StoreMemtable = 64 << 20

// OpenStore opens the store of a yardstick. With StoreMemtable its settings are
// those of the server's store (logic/embedded, which nothing here may import), so
// that a comparison shows what the server does and not how Pebble was set. A test
// of the program compares what the two write into their OPTIONS files.
func OpenStore(dir string, memtable uint64) (*pebble.DB, error) {
	o := &pebble.Options{
		Logger:                      silent{},
		CacheSize:                   64 << 20,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memtable,
		MemTableStopWritesThreshold: 5,
		L0CompactionThreshold:       8,
		L0StopWritesThreshold:       128,
		LBaseMaxBytes:               256 << 20,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, 2 },
	}
	o.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	o.Levels[1].Compression = func() *sstable.CompressionProfile { return sstable.FastestCompression }
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 32 << 20
	}
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	return db, nil
}

// silent drops what Pebble has to say; errors come back from its methods.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("benchmark: pebble: "+format, args...))
}
