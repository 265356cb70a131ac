package meter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Usage is what a process has taken of the machine.
type Usage struct {
	CPU  time.Duration // user and system time since it began
	RSS  uint64        // bytes resident now
	Peak uint64        // bytes resident at most so far
}

// userHZ is the unit of CPU time in /proc: 100 on every architecture that Go
// runs on, whatever the kernel's own tick.
const userHZ = 100

// ReadUsage reads /proc/<pid>. The error says that there is no such process or
// no such file system.
func ReadUsage(pid int) (Usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	if u.CPU, err = parseStat(stat); err != nil {
		return Usage{}, err
	}
	if u.RSS, u.Peak, err = parseStatus(status); err != nil {
		return Usage{}, err
	}
	return u, nil
}

// CPU gives the CPU time that a process has taken, or 0 where it cannot be
// known: another machine's, or one without /proc.
func CPU(pid int) time.Duration {
	u, err := ReadUsage(pid)
	if err != nil {
		return 0
	}
	return u.CPU
}

// PerMessage gives the microseconds of d for each of n messages.
func PerMessage(d time.Duration, n uint64) float64 {
	if n == 0 {
		return 0
	}
	return float64(d) / float64(time.Microsecond) / float64(n)
}

var errProc = errors.New("benchmark: /proc is not as expected")

// parseStat takes utime and stime from /proc/<pid>/stat.
func parseStat(stat []byte) (time.Duration, error) {
	// The second field is the command in parentheses, which may hold anything; the
	// rest begins after the last one. utime and stime are fields 14 and 15.
	_, rest, ok := cutLast(stat, ") ")
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, errProc
	}
	var ticks uint64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errProc, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHZ, nil
}

// parseStatus takes VmRSS and VmHWM from /proc/<pid>/status, in bytes.
func parseStatus(status []byte) (rss, peak uint64, err error) {
	for line := range bytes.Lines(status) {
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			continue
		}
		switch string(fields[0]) {
		case "VmRSS:":
			rss, err = strconv.ParseUint(string(fields[1]), 10, 64)
		case "VmHWM:":
			peak, err = strconv.ParseUint(string(fields[1]), 10, 64)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("%w: %w", errProc, err)
		}
	}
	if rss == 0 || peak == 0 {
		return 0, 0, errProc
	}
	return rss << 10, peak << 10, nil
}

func cutLast(b []byte, sep string) (before, after []byte, found bool) {
	i := bytes.LastIndex(b, []byte(sep))
	if i < 0 {
		return b, nil, false
	}
	return b[:i], b[i+len(sep):], true
}
