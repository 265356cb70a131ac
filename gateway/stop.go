package gateway

import (
	"context"
	"fmt"
	"time"

	"gannet/protocol"
)

// stopPatience is how long Stop waits, after its time is up, for connections to take their CLOSE,
// and for cancelled calls to logic to return.
const stopPatience = time.Second

// Stop ends the gateway without loss. It accepts no more connections, lets the lanes finish their
// frames, sends CLOSE draining to every connection and waits until all are gone. Frames that
// arrive meanwhile get their answer or the CLOSE. If ctx ends first, Stop cuts off the
// connections and the calls to logic, and returns an error.
func (g *Gateway) Stop(ctx context.Context) error {
	g.mu.Lock()
	if g.stopping {
		g.mu.Unlock()
		return ErrStopped
	}
	g.stopping = true
	listeners := g.listeners
	g.mu.Unlock()
	defer context.AfterFunc(ctx, g.cancel)()
	for _, l := range listeners {
		l.refuse()
	}
	err := g.finish(ctx)
	g.draining.Store(true)
	all := g.sessions.all()
	within := backWithin(len(all))
	for _, s := range all {
		s.closeAfter(protocol.CodeDraining, delayWithin(within))
	}
	if cerr := await(ctx, g.sessions.empty()); cerr != nil {
		left := g.sessions.all()
		for _, s := range left {
			s.hangUp()
		}
		err = fmt.Errorf("gateway: %d connections were cut off: %w", len(left), cerr)
	}
	close(g.stop)
	g.blocked.close()
	if werr := await(ctx, g.ended()); werr != nil && err == nil {
		err = fmt.Errorf("gateway: logic does not let go: %w", werr)
	}
	g.cancel()
	for _, l := range listeners {
		if cerr := l.close(ctx); cerr != nil && err == nil {
			err = cerr
		}
	}
	return err
}

// finish waits until the lanes are done with all frames that they have now.
func (g *Gateway) finish(ctx context.Context) error {
	poll := time.NewTicker(tick)
	defer poll.Stop()
	for _, l := range g.lanes {
		l.mark()
	}
	for _, l := range g.lanes {
		for l.left() > 0 {
			select {
			case <-poll.C:
			case <-ctx.Done():
				return fmt.Errorf("gateway: logic has not answered everything: %w", ctx.Err())
			}
		}
	}
	return nil
}

// ended is closed once the goroutines have ended.
func (g *Gateway) ended() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		g.wg.Wait()
		g.logins.workers.Wait()
		g.queries.workers.Wait()
		g.logouts.tell() // of connections whose login ended late
		close(ended)
	}()
	return ended
}

// await waits until done is closed, or returns the error of ctx if that ends first.
func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-done:
		return nil
	case <-time.After(stopPatience):
		return ctx.Err()
	}
}
