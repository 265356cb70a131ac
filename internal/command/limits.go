package command

import (
	"fmt"
	"math"

	"github.com/alecthomas/kong"

	"gannet/gateway"
	"gannet/internal/limiter"
	"gannet/logic"
)

// limitFlags say how much a user, an address and a connection may ask for. A rate is
// "how many a second/how many at once", or "off".
type limitFlags struct {
	Limits             string       `enum:"on,off" default:"on" help:"off: none of the limits whose flags begin with --limit- holds, whatever they say. How many connections there may be, in all, before login and of an address, stays."`
	LimitSends         limiter.Rate `default:"${sends}" help:"Messages of a user: how many a second / how many at once, or off. The same goes for the others."`
	LimitSendBytes     limiter.Rate `default:"${send_bytes}" help:"Bytes of the messages of a user; k, M and G are a thousand, a million and a billion."`
	LimitConversations limiter.Rate `default:"${new_conversations}" help:"Conversations that a user begins by a first message."`
	LimitSyncs         limiter.Rate `default:"${syncs}" help:"SYNC requests of a user."`
	LimitHistories     limiter.Rate `default:"${histories}" help:"HISTORY requests of a user."`
	LimitFrames        limiter.Rate `default:"1000/4096" help:"Frames of any kind of a connection; every 4 KiB of a long one count."`
	LimitConnects      limiter.Rate `default:"${connects}" help:"Connections that an address opens."`
	LimitFailedLogins  limiter.Rate `default:"${failed_logins}" help:"Logins of an address that are refused for good: CLOSE with a code of 3000 and above comes before WELCOME, for a bad or expired token, a wrong version or device, a broken first frame or another than HELLO."`
	LimitDevices       int          `default:"16" help:"Connected devices of a user; 0: no limit."`

	LimitConversationDevices int `default:"64" help:"Devices of a user that a conversation knows, with what they have acked; for one more, one that has long been silent is forgotten. 0: no limit."`
}

// Validate refuses settings that cannot be meant.
func (f *limitFlags) Validate() error {
	switch {
	case f.LimitDevices < 0:
		return fmt.Errorf("--limit-devices %d: it is a number of devices, or 0 for no limit", f.LimitDevices)
	case f.LimitConversationDevices < 0:
		return fmt.Errorf("--limit-conversation-devices %d: it is a number of devices, or 0 for no limit", f.LimitConversationDevices)
	}
	return nil
}

// limiter gives the limiter of users and addresses; nil: no limits.
func (f *limitFlags) limiter() limiter.Limiter {
	if f.Limits == "off" {
		return nil
	}
	return limiter.NewMemory(f.rates(), nil)
}

// rates gives the rates of users and addresses.
func (f *limitFlags) rates() limiter.Rates {
	return limiter.Rates{
		limiter.Connects:         f.LimitConnects,
		limiter.FailedLogins:     f.LimitFailedLogins,
		limiter.Sends:            f.LimitSends,
		limiter.SendBytes:        f.LimitSendBytes,
		limiter.NewConversations: f.LimitConversations,
		limiter.Syncs:            f.LimitSyncs,
		limiter.Histories:        f.LimitHistories,
	}
}

// applyTo sets the limits that the limiter does not handle.
func (f *limitFlags) applyTo(g *gateway.Config, l *logic.Config) {
	if f.Limits == "off" {
		l.MaxSessions = -1
		return
	}
	g.Frames = f.LimitFrames
	if l.MaxSessions = f.LimitDevices; f.LimitDevices == 0 {
		l.MaxSessions = -1
	}
}

// conversationDevices gives the store's own setting, where 0 is the default.
func (f *limitFlags) conversationDevices() int {
	if f.Limits == "off" || f.LimitConversationDevices == 0 {
		return math.MaxInt
	}
	return f.LimitConversationDevices
}

// limitDefaults gives the defaults of the rate flags, for the ${…} in their struct tags.
func limitDefaults() kong.Vars {
	rates := limiter.DefaultRates()
	return kong.Vars{
		"connects":          rates[limiter.Connects].String(),
		"failed_logins":     rates[limiter.FailedLogins].String(),
		"sends":             rates[limiter.Sends].String(),
		"send_bytes":        rates[limiter.SendBytes].String(),
		"new_conversations": rates[limiter.NewConversations].String(),
		"syncs":             rates[limiter.Syncs].String(),
		"histories":         rates[limiter.Histories].String(),
	}
}

// RaisedLimits are flags that raise the limits so far that a benchmark, which comes
// from one address, measures the server and not them; what they cost stays.
func RaisedLimits() []string {
	const high = "1G/1G"
	return []string{
		"--limits", "on", "--limit-sends", high, "--limit-send-bytes", high, "--limit-conversations", high, "--limit-syncs", high,
		"--limit-histories", high, "--limit-frames", high, "--limit-connects", high, "--limit-failed-logins", high,
		"--limit-devices", "1000000", "--limit-conversation-devices", "1000000", "--max-connections-per-address", "1000000",
	}
}
