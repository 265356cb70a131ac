package gateway

// wake has everything written that waits for the sockets of these sessions, which
// take bytes again.
func (g *Gateway) wake(ids ...uint64) {
	found := false
	for _, id := range ids {
		if s := g.sessions.get(id); s != nil && s.writable() {
			g.writers.add(s)
			found = true
		}
	}
	if found {
		g.writers.wake()
	}
}
