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
		{"nothing", "no attack at all: what the machine and its other work make of it", nil, nothing},
		{"large-bodies", "one sender of 64 KiB bodies at full speed", nil, largeBodies},
		{"disk", "many senders of 64 KiB bodies, as fast as these are taken", nil, disk},
		{"silent", "sockets that connect and say nothing", nil, silent},
		{"tls-silent", "TLS sockets that say nothing before the handshake", nil, tlsSilent},
		{"tls-no-hello", "TLS sockets that say nothing after the handshake", nil, tlsNoHello},
		{"connects", "connect and close, over and over", nil, connects},
		{"bad-tokens", "logins with bad tokens", nil, badTokens},
		{"syncs-and-reset", "3,200 SYNCs in one write, then a reset, over and over", seedConversations, syncsAndReset},
		{"history", "HISTORY with the largest pages, all read", seedHistory, history},
		{"history-unread", "HISTORY with the largest pages, none read", seedHistory, historyUnread},
		{"old-ids", "old client ids in 40 conversations", seedOldIDs, oldIDs},
		{"repeated-ids", "one client id a thousand times in one write", nil, repeatedIDs},
		{"strangers", "PUSHACK and READ to users who never heard of the sender", nil, strangers},
		{"acks", "PUSHACKs at full speed that nobody answers, from 16 connections of a user", nil, acks},
		{"tls-acks", "the same over TLS", nil, tlsAcks},
		{"padded-acks", "the same with 68 KB behind their fields", nil, paddedAcks},
		{"devices", "5,000 devices of one user, one after the other, in one conversation", nil, devices},
		{"deaf-readers", "2,000 readers who never read while they are written to", nil, deafReaders},
		{"tls-deaf-readers", "1,000 of them over TLS", nil, tlsDeafReaders},
		{"slow-readers", "readers who take a byte every 100 ms while they are written to", nil, slowReaders},
		{"garbage", "half frames, lies about lengths, random bytes, HELLO twice", nil, garbage},
		{"begun-frames", "2,000 clients who begin a frame of 68 KB each and never finish it", nil, begunFrames},
		{"new-conversations", "a new conversation with every message", nil, newConversations},
		{"pings", "PING at full speed", nil, pings},
		{"proxy-headers", "PROXY headers from somebody who is no proxy", nil, proxyHeaders},
		{"refused-sends", "SEND at full speed, whatever is refused", nil, refusedSends},
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
