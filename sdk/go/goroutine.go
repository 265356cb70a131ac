package gannet

import (
	"bytes"
	"runtime"
	"strconv"
)

// goroutineID names the goroutine that calls it, 0 when the runtime does not say. Close
// needs it to know that it would wait for its own caller, which neither an iterator nor a
// context that the app chose can tell.
func goroutineID() uint64 {
	var b [64]byte
	line := bytes.TrimPrefix(b[:runtime.Stack(b[:], false)], []byte("goroutine "))
	digits, _, _ := bytes.Cut(line, []byte(" "))
	id, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return 0
	}
	return id
}
