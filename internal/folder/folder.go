// Package folder says whether a folder on disk belongs to this process alone, by its permissions
// and by a lock. It also makes folders that survive a power cut.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ErrUnsafe says that others than this user may change a file or folder.
var ErrUnsafe = errors.New("others may change it")

const (
	writableByOthers fs.FileMode = 0o022
	readableByOthers fs.FileMode = 0o055
)

// Check refuses a file or folder that anybody but this user and root may change, by its mode or
// because they own it. For a symbolic link it checks the target.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return CheckInfo(path, info, os.Geteuid())
}

// CheckInfo is Check for the user self, with the info of a file that was already looked at. The
// info of an open file is certain to be of that file. For a symbolic link CheckInfo checks the link
// itself, and only its owner: its mode means nothing.
func CheckInfo(path string, info fs.FileInfo, self int) error {
	mode := info.Mode()
	if mode&fs.ModeSymlink != 0 {
		mode = fs.ModeSymlink
	}
	return check(path, mode, owner(info), uint32(self))
}

func check(path string, mode fs.FileMode, owner, self uint32) error {
	if owner != self && owner != 0 {
		return fmt.Errorf("%w: %s belongs to user %d and this process runs as %d; if that is a mistake, run chown %d %s", ErrUnsafe, path, owner, self, self, path)
	}
	if mode.Perm()&writableByOthers != 0 {
		return fmt.Errorf("%w: %s has mode %04o; run chmod go-w %s, after a look at what is in it", ErrUnsafe, path, mode.Perm(), path)
	}
	return nil
}

// owner gives the user that a file belongs to.
func owner(info fs.FileInfo) uint32 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Uid
	}
	return 0
}

// Readable says whether others than the owner of a folder may look into it.
func Readable(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return info.Mode().Perm()&readableByOthers != 0, nil
}
