//go:build !linux

package yardstick

import (
	"errors"
	"time"
)

// usableCores says that pauses cannot be measured here.
func usableCores() ([]int, error) {
	return nil, errors.New("benchmark: pauses can be measured on Linux only")
}

func comeFirst(int) error { return nil }

func monotonic() int64 { return time.Now().UnixNano() }

func sleepUntil(due int64) { time.Sleep(time.Duration(due - monotonic())) }
