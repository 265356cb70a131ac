//go:build !linux

package load

import (
	"syscall"
	"time"
)

func prepareSleep() {}

func sleep(d time.Duration) { time.Sleep(d) }

// choosePortLate is for net.Dialer.Control.
func choosePortLate(_, _ string, _ syscall.RawConn) error { return nil }
