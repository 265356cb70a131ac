package operate

import "time"

var began = time.Now()

// Elapsed is the time since the process began. Unlike the time of day, which somebody may set
// back, it never falls. So use it to measure pauses.
func Elapsed() time.Duration { return time.Since(began) }
