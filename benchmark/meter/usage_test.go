package meter

import (
	"errors"
	"os"
	"testing"
	"time"
)

func TestStatGivesCPUTime(t *testing.T) {
	// The command may hold spaces and parentheses.
	const stat = "4242 (a (odd) name) S 1 4242 4242 0 -1 4194560 1000 0 0 0 150 50 7 9 20 0 8 0 100 1000000 500 18446744073709551615\n"
	got, err := parseStat([]byte(stat))
	if err != nil || got != 2*time.Second {
		t.Errorf("150 and 50 ticks are %v, %v, want 2s", got, err)
	}
}

func TestStatusGivesMemory(t *testing.T) {
	const status = "Name:\tgannet\nVmPeak:\t  999999 kB\nVmHWM:\t    3000 kB\nVmRSS:\t    2000 kB\nThreads:\t9\n"
	rss, peak, err := parseStatus([]byte(status))
	if err != nil || rss != 2000<<10 || peak != 3000<<10 {
		t.Errorf("resident %d, peak %d, %v", rss, peak, err)
	}
}

func TestForeignProcFilesAreRefused(t *testing.T) {
	for _, stat := range []string{"", "1 (a) S", "1 (a) S 1 1 1 0 -1 0 0 0 0 0 x 50 0\n", "1 a S 1 1 1 0 -1 0 0 0 0 0 1 50 0\n"} {
		if _, err := parseStat([]byte(stat)); !errors.Is(err, errProc) {
			t.Errorf("stat %q: %v", stat, err)
		}
	}
	for _, status := range []string{"", "VmRSS: 5 kB\n", "VmRSS:\tx kB\nVmHWM:\t1 kB\n"} {
		if _, _, err := parseStatus([]byte(status)); !errors.Is(err, errProc) {
			t.Errorf("status %q: %v", status, err)
		}
	}
}

func TestOwnUsageCanBeRead(t *testing.T) {
	u, err := ReadUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.RSS == 0 || u.Peak < u.RSS {
		t.Errorf("resident %d, peak %d", u.RSS, u.Peak)
	}
	if _, err := ReadUsage(1 << 30); err == nil {
		t.Error("a process that cannot exist has a usage")
	}
}
