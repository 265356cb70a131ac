package command

import (
	"math"

	"gannet/gateway"
	"gannet/internal/limiter"
	"gannet/logic"
)

// limitFlags say how much a user, an address and a connection may ask for. A rate is
// "how many a second/how many at once", or "off".
type limitFlags struct {
	Limits             string       `enum:"on,off" default:"on" help:"off: no limit at all of those that follow."`
	LimitSends         limiter.Rate `default:"200/2048" help:"Messages of a user: how many a second / how many at once, or off. The same goes for the others."`
	LimitSendBytes     limiter.Rate `default:"1M/8M" help:"Bytes of the messages of a user; k, M and G are a thousand, a million and a billion."`
	LimitConversations limiter.Rate `default:"1/200" help:"Conversations that a user begins by a first message."`
	LimitSyncs         limiter.Rate `default:"2/16" help:"SYNC requests of a user."`
	LimitHistories     limiter.Rate `default:"50/16" help:"HISTORY requests of a user."`
	LimitFrames        limiter.Rate `default:"1000/4096" help:"Frames of any kind of a connection; every 4 KiB of a long one count."`
	LimitConnects      limiter.Rate `default:"20/100" help:"Connections that an address opens."`
	LimitFailedLogins  limiter.Rate `default:"5/20" help:"Logins of an address that fail over their token."`
	LimitDevices       int          `default:"16" help:"Connected devices of a user; 0: no limit."`
}

// limiter gives the limiter of users and addresses; nil: no limits.
func (f *limitFlags) limiter() limiter.Limiter {
	if f.Limits == "off" {
		return nil
	}
	return limiter.NewMemory(limiter.Rates{
		limiter.Connects:         f.LimitConnects,
		limiter.FailedLogins:     f.LimitFailedLogins,
		limiter.Sends:            f.LimitSends,
		limiter.SendBytes:        f.LimitSendBytes,
		limiter.NewConversations: f.LimitConversations,
		limiter.Syncs:            f.LimitSyncs,
		limiter.Histories:        f.LimitHistories,
	}, nil)
}

// applyTo sets what is not the limiter's.
func (f *limitFlags) applyTo(g *gateway.Config, l *logic.Config) {
	if f.Limits == "off" {
		l.MaxSessions = -1
		g.MaxPerAddress = math.MaxInt32
		return
	}
	g.Frames = f.LimitFrames
	if l.MaxSessions = f.LimitDevices; f.LimitDevices == 0 {
		l.MaxSessions = -1
	}
}

// RaisedLimits are flags that raise the limits so far that a benchmark, which comes
// from one address, measures the server and not them; what they cost stays.
func RaisedLimits() []string {
	const high = "1G/1G"
	return []string{
		"--limits", "on", "--limit-sends", high, "--limit-send-bytes", high, "--limit-conversations", high, "--limit-syncs", high,
		"--limit-histories", high, "--limit-frames", high, "--limit-connects", high, "--limit-failed-logins", high,
		"--limit-devices", "1000000", "--max-connections-per-address", "1000000",
	}
}
