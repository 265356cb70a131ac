package embedded

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// orderedNames makes the names in a folder durable before Pebble makes one of its
// markers there. The marker of the MANIFEST names a file that was made just before it,
// and Pebble syncs both names at once, after the marker: a file system that may keep the
// later name and forget the earlier one, as POSIX allows, would leave a store that
// cannot be opened.
type orderedNames struct{ vfs.FS }

// Create implements vfs.FS.
func (f orderedNames) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.PathBase(name), "marker.") {
		folder, err := f.OpenDir(f.PathDir(name))
		if err != nil {
			return nil, err
		}
		if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
			return nil, err
		}
	}
	return f.FS.Create(name, category)
}

// Unwrap implements vfs.FS.
func (f orderedNames) Unwrap() vfs.FS { return f.FS }
