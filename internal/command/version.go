package command

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// release is the version that the next release carries.
const release = "0.1.0"

// version is the release with the commit that it was built from, where the build
// knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release
	}
	v := release
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v += "+" + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			v += "-modified"
		}
	}
	return v
}

// commandName is how this program was called, for lines to be pasted.
func commandName() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ."
	}
	if filepath.Base(os.Args[0]) == os.Args[0] {
		return os.Args[0] // found through PATH
	}
	if wd, err := os.Getwd(); err == nil {
		if abs, err := filepath.Abs(os.Args[0]); err == nil {
			if rel, err := filepath.Rel(wd, abs); err == nil && !strings.HasPrefix(rel, "..") {
				return "./" + rel
			}
		}
	}
	return os.Args[0]
}
