package limiter

import (
	"fmt"
	"strconv"
	"strings"
)

// Rate is how fast a bucket fills, and how much it holds. The zero Rate is no limit.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Off says that the rate is no limit.
func (r Rate) Off() bool { return r.PerSecond <= 0 || r.Burst <= 0 }

// MarshalText gives the rate as UnmarshalText reads it.
func (r Rate) MarshalText() ([]byte, error) {
	if r.Off() {
		return []byte("off"), nil
	}
	return fmt.Appendf(nil, "%s/%d", strconv.FormatFloat(r.PerSecond, 'f', -1, 64), r.Burst), nil
}

// String is MarshalText.
func (r Rate) String() string {
	text, _ := r.MarshalText() // never fails
	return string(text)
}

// maxRate bounds both numbers of a rate, so that times computed from them stay far below the limit
// of 64 bits of nanoseconds.
const maxRate = 1e9

// UnmarshalText reads "200/2048", which is 200 a second and a burst of 2048, or
// "off". k, M and G behind a number stand for a thousand, a million and a billion.
func (r *Rate) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*r = Rate{}
		return nil
	}
	rate, burst, both := strings.Cut(string(text), "/")
	perSecond, ok := number(rate)
	most, fine := number(burst)
	if !both || !ok || !fine || most != float64(int(most)) {
		return fmt.Errorf("%q is no limit: say how many a second and how many at once, such as 200/2048, or off", text)
	}
	if perSecond < most/maxRate || most < 1 {
		return fmt.Errorf("%q lets nothing through; say off for no limit", text)
	}
	*r = Rate{PerSecond: perSecond, Burst: int(most)}
	return nil
}

// number reads a number from 0 to maxRate.
func number(text string) (float64, bool) {
	unit := 1.0
	if n := len(text) - 1; n > 0 {
		if i := strings.IndexByte("kMG", text[n]); i >= 0 {
			unit, text = [...]float64{1e3, 1e6, 1e9}[i], text[:n]
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	return n * unit, err == nil && n >= 0 && n*unit <= maxRate
}

// Rates has a rate for each kind.
type Rates [Kinds]Rate

// DefaultRates gives rates that harmless people and bots do not reach.
func DefaultRates() Rates {
	return Rates{
		Connects: {20, 100},
		// Many people may be behind one address, such as in an office. When their tokens expire
		// together, each may fail once. An attacker who guesses tokens gets no more than 5 tries a
		// second.
		FailedLogins:     {5, 20},
		Sends:            {200, 2048},
		SendBytes:        {1e6, 8e6},
		NewConversations: {1, 200},
		Syncs:            {2, 16},
		Histories:        {50, 16},
	}
}
