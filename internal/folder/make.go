package folder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Make makes a folder and its parents if they do not exist. It returns once they survive a power
// cut. It syncs the parents, because a sync of what is in a folder does not make the folder's own
// name durable.
func Make(path string, mode fs.FileMode) error { return makeAll(path, mode, syncFolder) }

func makeAll(path string, mode fs.FileMode, sync func(path string) error) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	var parents []string // of what is made, the deepest first
	for at := path; ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil || !errors.Is(err, fs.ErrNotExist) || filepath.Dir(at) == at {
			break // MkdirAll says what is wrong, if anything is
		}
		parents = append(parents, filepath.Dir(at))
	}
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := sync(parent); err != nil {
			return err
		}
	}
	return nil
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
