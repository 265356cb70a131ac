package command

import (
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gannet/gateway"
	logicstore "gannet/logic/embedded"
)

func TestSettingsOfSockets(t *testing.T) {
	files := openFiles()
	for name, c := range map[string]struct {
		flags []string
		fails string // "": it does not
	}{
		"defaults":                    {nil, ""},
		"as many as there are files":  {[]string{fmt.Sprint("--max-connections=", files-reservedFiles)}, ""},
		"more than there are files":   {[]string{fmt.Sprint("--max-connections=", files-reservedFiles+1)}, fmt.Sprintf("less %d for what it needs itself", reservedFiles)},
		"connections below 0":         {[]string{"--max-connections=-1"}, "--max-connections cannot be -1"},
		"of an address below 0":       {[]string{"--max-connections-per-address=-1"}, "--max-connections-per-address cannot be -1"},
		"before login below 0":        {[]string{"--max-before-login=-1"}, "--max-before-login cannot be -1"},
		"more before login than ever": {[]string{"--max-connections=50", "--max-before-login=51"}, "--max-before-login 51 is more than the 50"},
		"a backlog below 0":           {[]string{"--backlog=-1"}, "--backlog cannot be -1"},
		"a backlog over the system's": {[]string{"--backlog=1000000000"}, "net.core.somaxconn"},
		"a proxy that is a name":      {[]string{"--proxies=10.0.0.0/8,balancer"}, `"balancer" is neither an address nor a range`},
		"a proxy with too many bits":  {[]string{"--proxies=10.0.0.0/33"}, `"10.0.0.0/33" is neither an address nor a range`},
		"proxies":                     {[]string{"--proxies=10.0.0.0/8,2001:db8::1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := StartServer(slog.New(slog.DiscardHandler), append([]string{"--data", t.TempDir(), "--listen", "127.0.0.1:0"}, c.flags...)...)
			if err == nil {
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
			}
			switch {
			case c.fails == "" && err != nil:
				t.Error(err)
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("%v does not say %q", err, c.fails)
			}
		})
	}
}

// What the flags say is what the gateway gets.
func TestSettingsReachTheGateway(t *testing.T) {
	var c gateway.Config
	f := socketFlags{MaxConnections: 70, MaxBeforeLogin: 7, MaxPerAddress: 5, Proxies: []string{"10.0.0.0/8", "2001:db8::1", "::ffff:192.0.2.1"}}
	if err := f.apply(&c); err != nil {
		t.Fatal(err)
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128"), netip.MustParsePrefix("192.0.2.1/32")}
	if c.MaxConnections != 70 || c.MaxBeforeLogin != 7 || c.MaxPerAddress != 5 || !slices.Equal(c.Proxies, proxies) {
		t.Errorf("the gateway gets %+v", c)
	}
}

func TestConnectionsOfAProcessWithSoManyFiles(t *testing.T) {
	for _, c := range []struct {
		files, asked, connections int
		fails                     string
	}{
		{files: 0, asked: 0, connections: 0},
		{files: 0, asked: 500, connections: 500},
		{files: reservedFiles + 1, asked: 0, connections: 1},
		{files: reservedFiles, asked: 0, fails: "are kept for what it needs itself"},
		{files: 20000, asked: 0, connections: 20000 - reservedFiles},
		{files: 20000, asked: 100, connections: 100},
		{files: 20000, asked: 19000, fails: "--max-connections 19000 is too many"},
	} {
		f := socketFlags{MaxConnections: c.asked}
		n, err := f.connections(c.files)
		if n != c.connections || (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%d files, %d asked for: %d, %v", c.files, c.asked, n, err)
		}
	}
}

// The files that are kept for the store are enough for it.
func TestReservedFilesAreEnoughForTheStore(t *testing.T) {
	dir := t.TempDir()
	store, err := logicstore.Open(filepath.Join(dir, "db"), logicstore.Options{Queues: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, line := range pebbleSettings(t, filepath.Join(dir, "db")) {
		if _, n, found := strings.Cut(line, "max_open_files="); found {
			if _, err := fmt.Sscan(n, &tables); err != nil {
				t.Fatal(err)
			}
		}
	}
	if tables == 0 || reservedFiles < tables+100 {
		t.Errorf("the store opens up to %d tables, %d files are kept for it", tables, reservedFiles)
	}
}
