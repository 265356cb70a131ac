//go:build !linux

package benchmark

import (
	"syscall"
	"time"
)

func prepareSleep() {}

func sleep(d time.Duration) { time.Sleep(d) }

// fileSystem names the file system that a folder is on, where that is known.
func fileSystem(string) string { return "unknown" }

// choosePortLate is for net.Dialer.Control.
func choosePortLate(_, _ string, _ syscall.RawConn) error { return nil }
