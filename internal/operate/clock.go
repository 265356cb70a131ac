package operate

import "time"

var began = time.Now()

// Elapsed is the time since the process began. Unlike the time of day, which somebody
// may set back, it never falls, so it is what pauses are measured by.
func Elapsed() time.Duration { return time.Since(began) }
