package folder

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// lockHolder gives the process that holds the lock of a file or folder, or 0 if that is unknown.
// The kernel tells it for processes of this user, and root sees all processes.
func lockHolder(path string) (pid int) {
	wanted, err := os.Stat(path)
	if err != nil {
		return 0
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join("/proc", p.Name())
		files, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			continue // it has ended, or is another user's
		}
		for _, f := range files {
			open, err := os.Stat(filepath.Join(dir, "fd", f.Name()))
			if err != nil || !os.SameFile(wanted, open) {
				continue
			}
			// A process that only reads the folder has it open, too. The kernel names a lock with
			// the open file that holds it.
			info, err := os.ReadFile(filepath.Join(dir, "fdinfo", f.Name()))
			if err == nil && bytes.Contains(info, []byte("\nlock:")) {
				return pid
			}
		}
	}
	return 0
}
