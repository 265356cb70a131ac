package scenario

import (
	"os"
	"path/filepath"
	"testing"

	"gannet/benchmark/load"
)

func TestFiguresOfACluster(t *testing.T) {
	m := &measurement{
		counts: load.Counts{Delivered: 100},
		used: usages{cpuOf + "broker": 500, cpuOf + "logic": 300, "pulls": 7}.minus(
			usages{cpuOf + "broker": 100, cpuOf + "logic": 100, "pulls": 2}),
	}
	got := map[string]float64{}
	for _, f := range clusterFigures([]*measurement{m}) {
		got[f.name] = f.of(m)
	}
	for name, want := range map[string]float64{
		cpuOf + "all": 6, cpuOf + "broker": 4, cpuOf + "logic": 2, "pulls a thousand messages": 50,
	} {
		if got[name] != want {
			t.Errorf("%s is %v and should be %v", name, got[name], want)
		}
	}
	if len(got) != 4 {
		t.Errorf("there are figures of what was not used: %v", got)
	}
}

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
	for _, name := range serviceNames {
		if _, err := readServices(dir); err == nil {
			t.Fatalf("nobody misses the process of %s", name)
		}
		write(name+"/pid", "77 12@boot\n")
	}
	s, err := readServices(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.pid["broker"] != 77 || s.address["broker"] != "127.0.0.1:3" {
		t.Errorf("the broker was read as %d at %s", s.pid["broker"], s.address["broker"])
	}
}
