package gateway

// wake makes the writers write to those sessions: their sockets take bytes again.
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
