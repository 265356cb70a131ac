package folder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Make makes a folder that is not there, and those above it, and returns once a power
// cut cannot take them away any more: a sync of what lies in a folder says nothing about
// the folder's own name.
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
