package command

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"gannet/internal/folder"
)

// The settings file that lies where gannet is started is read if only this user or root
// can have written it, and refused otherwise.
func TestDefaultSettingsFile(t *testing.T) {
	// Root alone can give a file to somebody else; for another user this process plays
	// somebody else instead.
	owner, other := 54321, os.Geteuid()
	if other != 0 {
		owner, other = other, other+1
	}
	const settings = "[serve]\nlanes = 7\n"
	write := func(path string, mode os.FileMode) error {
		return firstError(os.WriteFile(path, []byte(settings), 0o600), os.Chmod(path, mode))
	}
	for what, c := range map[string]struct {
		make func() error
		self int
		says string // "": it is read
	}{
		"mine":        {func() error { return write(configFile, 0o644) }, os.Geteuid(), ""},
		"for all":     {func() error { return write(configFile, 0o666) }, os.Geteuid(), "chmod go-w ./gannet.toml"},
		"for a group": {func() error { return write(configFile, 0o660) }, os.Geteuid(), "chmod go-w ./gannet.toml"},
		"somebody's": {func() error {
			return firstError(write(configFile, 0o644), os.Chown(configFile, owner, -1))
		}, other, fmt.Sprint("belongs to user ", owner)},
		"a link of mine": {func() error {
			return firstError(write("other", 0o600), os.Symlink("other", configFile))
		}, os.Geteuid(), ""},
		"somebody's link": {func() error {
			return firstError(write("other", 0o600), os.Symlink("other", configFile), os.Lchown(configFile, owner, -1))
		}, other, fmt.Sprint("belongs to user ", owner)},
		"a link to what all may write": {func() error {
			return firstError(write("other", 0o666), os.Symlink("other", configFile))
		}, os.Geteuid(), "chmod go-w ./gannet.toml"},
		"a pipe":             {func() error { return syscall.Mkfifo(configFile, 0o600) }, os.Geteuid(), "it is no file"},
		"a folder":           {func() error { return os.Mkdir(configFile, 0o700) }, os.Geteuid(), "it is no file"},
		"a link to nowhere":  {func() error { return os.Symlink("nowhere", configFile) }, os.Geteuid(), "no such file"},
		"what is no setting": {func() error { return os.WriteFile(configFile, []byte("lanes"), 0o600) }, os.Geteuid(), "no TOML"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := c.make(); err != nil {
				t.Fatal(err)
			}
			settings, err := readDefaultFile(configFile, c.self)
			if c.says == "" && (err != nil || settings == nil) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v and %v, want %q", settings, err, c.says)
			}
		})
	}
}

// A file that is named is taken as told, whoever wrote it, and instead of the other one.
func TestSettingsFilesThatAreNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	if lanes, err := lanesOf(t); err != nil || lanes != 0 {
		t.Errorf("without a file there are %d lanes, %v", lanes, err)
	}
	for path, settings := range map[string]string{configFile: "lanes = 7\n", "named.toml": "[serve]\nsockets = 3\n"} {
		if err := firstError(os.WriteFile(path, []byte(settings), 0o600), os.Chmod(path, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := lanesOf(t); !errors.Is(err, folder.ErrUnsafe) || !strings.Contains(err.Error(), "--config ./gannet.toml") {
		t.Errorf("a file that all may write gives %v", err)
	}
	if lanes, err := lanesOf(t, "--config", configFile); err != nil || lanes != 7 {
		t.Errorf("once it is named there are %d lanes, %v", lanes, err)
	}
	if lanes, err := lanesOf(t, "--config", "named.toml"); err != nil || lanes != 0 {
		t.Errorf("beside a file that is named it says %d lanes, %v", lanes, err)
	}
	t.Setenv("GANNET_CONFIG", "named.toml")
	if lanes, err := lanesOf(t); err != nil || lanes != 0 {
		t.Errorf("beside a file that the environment names it says %d lanes, %v", lanes, err)
	}
}

// lanesOf gives a setting as the command line and the files make it.
func lanesOf(t *testing.T, flags ...string) (int, error) {
	t.Helper()
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		return 0, err
	}
	_, err = parser.Parse(append([]string{"serve"}, flags...))
	return c.Serve.Lanes, err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// What is acted on while the command line is read can be set nowhere else.
func TestSwitchesOfTheCommandLineInAFile(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, settings := range []string{"version = true\n", "help = true\n", "config = \"other.toml\"\n", "[serve]\nversion = true\n"} {
		if err := firstError(os.WriteFile("own.toml", []byte(settings), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := lanesOf(t, "--config", "own.toml"); err == nil || !strings.Contains(err.Error(), "for the command line") {
			t.Errorf("%q gives %v", settings, err)
		}
	}
}
