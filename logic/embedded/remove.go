package embedded

import "github.com/cockroachdb/pebble/v2/vfs"

// removingFS tells of files that are being removed, as of compactions. To take
// away a log of 64 MiB keeps the file system busy for some 10 ms. Go's scheduler
// finds out about a thread that is held up in a system call only after as long,
// so on a single processor every message would wait.
type removingFS struct {
	vfs.FS
	told func(change int)
}

func (fs removingFS) Unwrap() vfs.FS { return fs.FS }

func (fs removingFS) Remove(name string) error {
	fs.told(+1)
	defer fs.told(-1)
	return fs.FS.Remove(name)
}
