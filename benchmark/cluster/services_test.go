package cluster

import (
	"os"
	"path/filepath"
	"testing"
)

func TestServicesAreRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ports", "redis 1\nnameserver 2\nbroker 3\nclickhouse 4\nclickhouse-http 5\n")
	for _, name := range servers {
		if _, err := ReadServices(dir); err == nil {
			t.Fatalf("nobody misses the process of %s", name)
		}
		write(name+"/pid", "77 12@boot\n")
	}
	write("ports", "redis 1\nnameserver 2\nbroker 3\nclickhouse-http 5\n")
	if _, err := ReadServices(dir); err == nil {
		t.Fatal("nobody misses ClickHouse's port")
	}
	write("ports", "redis 1\nnameserver 2\nbroker 3\nclickhouse 4\nclickhouse-http 5\n")
	s, err := ReadServices(dir)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := s.PID(Broker); err != nil || pid != 77 || s.Address(Broker) != "127.0.0.1:3" {
		t.Errorf("the broker was read as %d at %s, %v", pid, s.Address(Broker), err)
	}
	write("broker/pid", "78\n") // it was started again
	if pid, err := s.PID(Broker); err != nil || pid != 78 {
		t.Errorf("the broker that was started again was read as %d, %v", pid, err)
	}
}
