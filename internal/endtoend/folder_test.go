package endtoend

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whatever is deleted in the data folder of a server that runs, no second one starts
// on it, and it learns who is there.
func TestDataFolderIsLocked(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	for _, gone := range []string{"db/LOCK", "gannet.pid", "db", "db.mark"} {
		if err := os.RemoveAll(filepath.Join(server.data, gone)); err != nil {
			t.Fatal(err)
		}
		_, stderr, err := run(t, "--data", server.data, "--listen", "127.0.0.1:0")
		if err == nil || !strings.Contains(stderr, "another gannet is already running") {
			t.Errorf("without %s: %v: %s", gone, err, stderr)
		}
		if !strings.Contains(stderr, fmt.Sprint("process ", server.cmd.Process.Pid)) {
			t.Errorf("it does not say who is there: %s", stderr)
		}
	}
	server.kill()
	serve(t, server.data, "127.0.0.1:0").stop() // the lock went with its process
}

// A start that does not come to its end, here over a key that is never read to its end,
// is ended by SIGTERM.
func TestStartIsInterrupted(t *testing.T) {
	data := t.TempDir()
	serve(t, data, "127.0.0.1:0").stop()
	if err := syscall.Mkfifo(filepath.Join(data, "keys", "zz.pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := prepare(t.Context(), t, "--data", data, "--listen", "127.0.0.1:0")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "it has begun", func() bool {
		b, err := os.ReadFile(filepath.Join(data, "gannet.pid"))
		return err == nil && strings.TrimSpace(string(b)) == fmt.Sprint(server.Process.Pid)
	})
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	select {
	case err := <-ended:
		if err == nil || server.ProcessState.ExitCode() != 1 {
			t.Errorf("it ended with %v, want exit status 1", err)
		}
	case <-time.After(patience):
		t.Error("it does not end")
		_ = server.Process.Kill()
		<-ended
	}
}

// A folder or key that others can change is refused, with the line to paste.
func TestUnsafeFoldersAreRefused(t *testing.T) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	foreign := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for _, c := range []struct {
		name, path string
		mode       fs.FileMode
		refused    bool
	}{
		{"keys writable by all", "keys", 0o777, true},
		{"keys writable by the group", "keys", 0o770, true},
		{"keys writable by all, sticky", "keys", 0o777 | fs.ModeSticky, true},
		{"a foreign key that others may write", "keys/zz.pem", 0o666, true},
		{"data writable by all", ".", 0o777, true},
		{"data writable by the group", ".", 0o770, true},
		{"data readable by all", ".", 0o755, false},
		{"keys readable by all", "keys", 0o755, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := t.TempDir()
			serve(t, data, "127.0.0.1:0").stop()
			path := filepath.Join(data, c.path)
			if strings.HasSuffix(path, ".pem") {
				if err := os.WriteFile(path, foreign, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			if !c.refused {
				server := serve(t, data, "127.0.0.1:0")
				server.stop()
				if c.path == "." && !strings.Contains(server.out.String(), "chmod go-rwx "+data) {
					t.Errorf("it does not warn:\n%s", server.out.String())
				}
				return
			}
			_, stderr, err := run(t, "--data", data, "--listen", "127.0.0.1:0")
			if err == nil || !strings.Contains(stderr, "chmod go-w "+path) {
				t.Errorf("%v: %s", err, stderr)
			}
		})
	}
	fresh := filepath.Join(t.TempDir(), "data")
	serve(t, fresh, "127.0.0.1:0").stop()
	for _, path := range []string{fresh, filepath.Join(fresh, "keys")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("a new folder %s: %v, %v", path, info, err)
		}
	}
}
