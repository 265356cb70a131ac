package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"gannet/internal/folder"
)

// configFile is read where it lies in the working directory, unless --config names
// another.
const configFile = "./gannet.toml"

// withDefaultFile has a parser read configFile where no other is named.
func withDefaultFile() kong.Option {
	return kong.WithBeforeResolve(func(at *kong.Context, trace *kong.Path) error {
		if trace.App == nil || namesFile(at) { // the hook is called for each word of the command line
			return nil
		}
		settings, err := readDefaultFile(configFile, os.Geteuid())
		if err == nil && settings != nil {
			at.AddResolver(settings)
		}
		return err
	})
}

// namesFile says whether --config or its place in the environment names a file.
func namesFile(at *kong.Context) bool {
	return slices.ContainsFunc(at.Model.Flags, func(f *kong.Flag) bool {
		return f.Name == "config" && (slices.ContainsFunc(at.Path, func(p *kong.Path) bool { return p.Flag == f }) ||
			slices.ContainsFunc(f.Envs, func(name string) bool { _, set := os.LookupEnv(name); return set }))
	})
}

// readDefaultFile reads a settings file that nobody has named, for the user self. It returns nil if
// there is none. The file lies wherever gannet happens to be started, perhaps in a folder where
// anybody may put files, and it decides who may log in and where messages go. So a file that others
// could have written is refused. It is not skipped, because it may be meant, and a server that
// starts without its settings would be a surprise as well.
func readDefaultFile(path string, self int) (kong.Resolver, error) {
	refused := func(err error) error {
		return fmt.Errorf("the settings file %s, which is read where gannet is started, is refused: %w (if it is meant, name it with --config %s)", path, err, path)
	}
	link, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = folder.CheckInfo(path, link, self)
	}
	if err != nil {
		return nil, refused(err)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is no reason to wait
	if err != nil {
		return nil, refused(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil {
		err = folder.CheckInfo(path, info, self)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file")
	}
	if err != nil {
		return nil, refused(err)
	}
	settings, err := readConfiguration(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return settings, nil
}
