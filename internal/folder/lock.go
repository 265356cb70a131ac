package folder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrLocked says that another process uses the folder.
var ErrLocked = errors.New("it is in use")

// holderFile is a file in the folder that names the process that uses it. People may read it, and
// the error for the next process uses it if the kernel does not tell. The lock itself is on the
// folder.
const holderFile = "gannet.pid"

// Lock is held until Release or the end of the process, however that ends.
type Lock struct {
	folder  *os.File
	holder  string
	unnamed error
}

// Hold locks a folder for this process. The lock is on the folder itself: if it were on a file,
// somebody could delete that file and let another process in. If the file system has no such locks,
// Hold returns errors.ErrUnsupported.
func Hold(dir string) (*Lock, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	holder := filepath.Join(dir, holderFile)
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case err == nil:
	case errors.Is(err, syscall.EWOULDBLOCK):
		f.Close()
		return nil, fmt.Errorf("%w by %s", ErrLocked, holderOf(dir))
	default: // such as a network file system, which locks only files that are open for writing
		f.Close()
		return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	err = os.WriteFile(holder, fmt.Appendln(nil, os.Getpid()), 0o600)
	if err != nil {
		_ = os.Remove(holder) // rather none than one that names another process
	}
	return &Lock{folder: f, holder: holder, unnamed: err}, nil
}

// Unnamed says why no file in the folder names this process, as on a full disk; nil: one
// does. The folder is locked either way.
func (l *Lock) Unnamed() error { return l.unnamed }

// holderOf names the process that has a folder locked. What the kernel says goes before
// the file, which may be deleted, or left by a process that was killed.
func holderOf(dir string) string {
	pid := lockHolder(dir)
	if pid == 0 {
		if b, err := os.ReadFile(filepath.Join(dir, holderFile)); err == nil {
			pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		}
	}
	return process(pid)
}

// Holder names the process that has a file locked by itself, as a store does, where the
// kernel tells: "process 7", else "another process".
func Holder(file string) string { return process(lockHolder(file)) }

func process(pid int) string {
	if pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return "another process"
	}
	return fmt.Sprintf("process %d", pid)
}

// Release lets others have the folder.
func (l *Lock) Release() error {
	var err error
	if l.unnamed == nil {
		err = os.Remove(l.holder)
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.folder.Close())
}
