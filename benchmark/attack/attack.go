// Package attack has clients that want to harm a server: each attack is one way to do
// it, the same bytes in the same order from the same seed. They come from addresses of
// their own (127.1.0.1 and up), so that what limits an address limits them and nobody
// else, and they run in a process of their own (Player), as on another machine.
package attack

import (
	"context"
	"fmt"
)

// Attack is one way to harm a server.
type Attack struct {
	Name string
	Does string // in a few words, for tables

	// Flags are of the server, for what is out of reach of few clients otherwise.
	Flags []string

	// seed fills the store with what the attack needs, before there are limits; nil:
	// it needs nothing. Whatever it keeps is found again by play, which may run in
	// another process against a server that was started anew.
	seed func(ctx context.Context, s *Site) error

	// play goes on until ctx is done, whatever the server does about it. It calls
	// s.begun once its clients are where they do harm.
	play func(ctx context.Context, s *Site)
}

// All gives the attacks in the order in which they are played.
func All() []Attack {
	return []Attack{
		{Name: "nothing", Does: "no attack at all: what the machine and its other work make of it", play: nothing},
		{Name: "large-bodies", Does: "one sender of 64 KiB bodies at full speed", play: largeBodies},
		{Name: "disk", Does: "many senders of 64 KiB bodies, as fast as these are taken", play: disk},
		{Name: "silent", Does: "sockets that connect and say nothing", play: silent},
		{Name: "tls-silent", Does: "TLS sockets that say nothing before the handshake", play: tlsSilent},
		{Name: "tls-no-hello", Does: "TLS sockets that say nothing after the handshake", play: tlsNoHello},
		{Name: "tls-hellos", Does: "1,700 TLS handshakes that begin at once and go no further", play: tlsHellos},
		{Name: "tls-records", Does: "long frames over TLS, each byte a record of its own", play: tlsRecords},
		{Name: "connects", Does: "connect and close, over and over", play: connects},
		{Name: "bad-tokens", Does: "logins with bad tokens", play: badTokens},
		{Name: "syncs-and-reset", Does: "3,200 SYNCs in one write, then a reset, over and over", seed: seedConversations, play: syncsAndReset},
		{Name: "history", Does: "HISTORY with the largest pages, all read", seed: seedHistory, play: history},
		{Name: "history-unread", Does: "HISTORY with the largest pages, none read", seed: seedHistory, play: historyUnread},
		{Name: "old-ids", Does: "old client ids in 40 conversations", seed: seedOldIDs, play: oldIDs},
		{Name: "repeated-ids", Does: "one client id a thousand times in one write", play: repeatedIDs},
		{Name: "strangers", Does: "PUSHACK and READ to users who never heard of the sender", play: strangers},
		{Name: "acks", Does: "PUSHACKs at full speed that nobody answers, from 16 connections of a user", play: acks},
		{Name: "tls-acks", Does: "the same over TLS", play: tlsAcks},
		{Name: "padded-acks", Does: "the same with 68 KB behind their fields", play: paddedAcks},
		{Name: "devices", Does: "5,000 devices of one user, one after the other, in one conversation", play: devices},
		{Name: "deaf-readers", Does: "2,000 readers who never read while they are written to", play: deafReaders},
		{Name: "deaf-beyond-memory", Does: "the same, with 16 MiB for all that waits for them", Flags: []string{"--outbox-memory", "16"}, play: deafReaders},
		{Name: "tls-deaf-readers", Does: "1,000 readers who never read, over TLS", play: tlsDeafReaders},
		{Name: "slow-readers", Does: "readers who take a byte every 100 ms while they are written to", play: slowReaders},
		{Name: "garbage", Does: "half frames, lies about lengths, random bytes, HELLO twice", play: garbage},
		{Name: "begun-frames", Does: "2,000 clients who begin a frame of 68 KB each and never finish it", play: begunFrames},
		{Name: "new-conversations", Does: "a new conversation with every message", play: newConversations},
		{Name: "pings", Does: "PING at full speed", play: pings},
		{Name: "proxy-headers", Does: "PROXY headers from somebody who is no proxy", play: proxyHeaders},
		{Name: "refused-sends", Does: "SEND at full speed, whatever is refused", play: refusedSends},
	}
}

// nothing is for comparison.
func nothing(ctx context.Context, s *Site) {
	s.begun()
	<-ctx.Done()
}

// Find gives the attack of that name.
func Find(name string) (Attack, error) {
	for _, a := range All() {
		if a.Name == name {
			return a, nil
		}
	}
	return Attack{}, fmt.Errorf("benchmark: there is no attack %q: --list names them", name)
}

// NeedsSeed says whether Seed is to be called before the attack is played.
func (a *Attack) NeedsSeed() bool { return a.seed != nil }

// Seed fills the server's store with what the attack needs. The server has no limits
// that matter here.
func (a *Attack) Seed(ctx context.Context, s *Site) error {
	if err := a.seed(ctx, s); err != nil {
		return fmt.Errorf("benchmark: preparing %s: %w", a.Name, err)
	}
	return ctx.Err()
}
