package logic_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/internal/token"
	"gannet/logic"
	"gannet/protocol"
)

// taker is a Gateways that closes what it is told to.
type taker struct{ kicked []kick }

func (g *taker) Kick(_ context.Context, at hop.Address, code protocol.Code) error {
	g.kicked = append(g.kicked, kick{at, code})
	return nil
}

// user42 is a Tokens for one user.
var user42 = tokensFunc(func() (uint64, error) { return 42, nil })

// loginOf logs a connection in; the code is that of the half that refuses.
func loginOf(s *logic.Service, ctx context.Context, conn uint64) (hop.Welcome, error) {
	list, err := s.Login(ctx, []hop.Login{{
		Address: hop.Address{Gateway: 3, Conn: conn}, Request: 5, Hello: protocol.Hello{Version: protocol.Version, Token: []byte("x"), Device: 7},
	}})
	if err != nil || len(list) != 1 {
		return hop.Welcome{}, fmt.Errorf("%d answers, %w", len(list), err)
	}
	w := list[0]
	if w.Code != 0 {
		return w, nil
	}
	codes, err := s.Enter(ctx, []hop.Binding{entering(conn, 7, w)})
	if err != nil || len(codes) != 1 {
		return hop.Welcome{}, fmt.Errorf("%d answers, %w", len(codes), err)
	}
	if codes[0] != 0 {
		return hop.Welcome{Code: codes[0]}, nil
	}
	return w, nil
}

// Whatever the directory does, a login gets an answer, it is counted and said once a
// second at most, and the next one is let in.
func TestHostileDirectory(t *testing.T) {
	errNo := errors.New("no directory there")
	for name, d := range map[string]directoryFuncs{
		"no number for an error": {draw: func(context.Context, []uint64) ([]uint64, error) { return nil, errNo }},
		"number 0":               {draw: func(_ context.Context, dst []uint64) ([]uint64, error) { return append(dst, 0), nil }},
		"no number":              {draw: func(context.Context, []uint64) ([]uint64, error) { return nil, nil }},
		"two numbers":            {draw: func(_ context.Context, dst []uint64) ([]uint64, error) { return append(dst, 1, 2), nil }},
		"an error":               {bind: func(context.Context, []directory.Bound) ([]directory.Bound, error) { return nil, errNo }},
		"an answer and an error": {bind: func(_ context.Context, dst []directory.Bound) ([]directory.Bound, error) {
			return append(dst, directory.Bound{}), errNo
		}},
		"no answer": {bind: func(context.Context, []directory.Bound) ([]directory.Bound, error) { return nil, nil }},
		"two answers": {bind: func(_ context.Context, dst []directory.Bound) ([]directory.Bound, error) {
			return append(dst, directory.Bound{}, directory.Bound{}), nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := d
				d.Memory = directory.NewMemory()
				g := &taker{}
				s, l := newService(func(c *logic.Config) { c.Directory, c.Gateways, c.Tokens = &d, g, user42 })
				const n = 30
				for i := range n {
					w, err := loginOf(s, t.Context(), uint64(i)+1)
					if err != nil || w.Code != protocol.CodeLoginUnavailable || w.User != 0 || len(w.Frame) != 0 {
						t.Fatalf("welcome %+v, %v", w, err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				wantStat(t, s, "failed.login", n)
				if lines := l.count(); lines < 2 || lines > 4 {
					t.Errorf("%d lines in 3 s", lines)
				}
				d.draw, d.bind = nil, nil
				if w, err := loginOf(s, t.Context(), 100); err != nil || w.Code != 0 || w.User != 42 {
					t.Errorf("the next welcome is %+v, %v", w, err)
				}
				if len(g.kicked) != 0 {
					t.Errorf("kicked %+v", g.kicked)
				}
			})
		})
	}
}

// A directory that hangs keeps a login as long as its caller waits, and no longer.
func TestDirectoryThatHangs(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for name, d := range map[string]directoryFuncs{
		"drawing": {draw: func(ctx context.Context, _ []uint64) ([]uint64, error) { return nil, hang(ctx) }},
		"binding": {bind: func(ctx context.Context, _ []directory.Bound) ([]directory.Bound, error) { return nil, hang(ctx) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := d
				d.Memory = directory.NewMemory()
				s, _ := newService(func(c *logic.Config) { c.Directory, c.Gateways, c.Tokens = &d, &taker{}, user42 })
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				w, err := loginOf(s, ctx, 1)
				if err != nil || w.Code != protocol.CodeLoginUnavailable {
					t.Errorf("welcome %+v, %v", w, err)
				}
				wantStat(t, s, "failed.login", 1)
			})
		})
	}
}

// Whatever a directory says that a login replaced: the login is let in, its own
// connection is never the one that is closed, and a login that is lost closes nobody.
func TestReplacedNonsense(t *testing.T) {
	own := hop.Address{Gateway: 3, Conn: 1}
	for name, c := range map[string]struct {
		bound  directory.Bound
		code   protocol.Code
		kicked int
	}{
		"nobody":                   {directory.Bound{}, 0, 0},
		"itself":                   {directory.Bound{Replaced: own}, 0, 0},
		"a gateway without a conn": {directory.Bound{Replaced: hop.Address{Gateway: 8}}, 0, 1},
		"a place that never was":   {directory.Bound{Replaced: hop.Address{Gateway: 1 << 60, Conn: 1 << 60}}, 0, 1},
		"lost and somebody":        {directory.Bound{Lost: true, Replaced: hop.Address{Gateway: 8, Conn: 8}}, protocol.CodeReplaced, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := &taker{}
			s, _ := newService(func(config *logic.Config) {
				config.Gateways, config.Tokens = g, user42
				config.Directory = &directoryFuncs{Memory: directory.NewMemory(), bind: func(_ context.Context, dst []directory.Bound) ([]directory.Bound, error) {
					return append(dst, c.bound), nil
				}}
			})
			w, err := loginOf(s, t.Context(), own.Conn)
			if err != nil || w.Code != c.code || len(g.kicked) != c.kicked {
				t.Errorf("welcome %+v, %v, kicked %+v", w, err, g.kicked)
			}
		})
	}
}

// A verifier that cannot tell is no judgement over the token.
func TestHostileTokens(t *testing.T) {
	for name, c := range map[string]struct {
		user  uint64
		err   error
		code  protocol.Code
		count uint64
	}{
		"a foreign error":            {0, errors.New("no answer"), protocol.CodeLoginUnavailable, 1},
		"a user and a foreign error": {42, errors.New("no answer"), protocol.CodeLoginUnavailable, 1},
		"user 0":                     {0, nil, protocol.CodeBadToken, 0},
		"invalid":                    {42, fmt.Errorf("wrapped: %w", token.ErrInvalid), protocol.CodeBadToken, 0},
		"expired":                    {42, fmt.Errorf("wrapped: %w", token.ErrExpired), protocol.CodeTokenExpired, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newService(func(config *logic.Config) {
				config.Gateways = &taker{}
				config.Tokens = tokensFunc(func() (uint64, error) { return c.user, c.err })
			})
			w, err := loginOf(s, t.Context(), 1)
			if err != nil || w.Code != c.code || w.User != 0 {
				t.Errorf("welcome %+v, %v; want %s", w, err, c.code)
			}
			wantStat(t, s, "failed.login", c.count)
		})
	}
}

// A directory that does not take logouts is said and counted; the gateway hears it
// and comes again.
func TestLogoutThatFails(t *testing.T) {
	d := &directoryFuncs{Memory: directory.NewMemory(), unbind: func() error { return errors.New("no directory there") }}
	s, l := newService(func(c *logic.Config) { c.Directory, c.Gateways, c.Tokens = d, &taker{}, user42 })
	w, err := loginOf(s, t.Context(), 1)
	if err != nil || w.Code != 0 {
		t.Fatalf("welcome %+v, %v", w, err)
	}
	over := []hop.Binding{{Identity: hop.Identity{Gateway: 3, Conn: 1, User: 42, Device: 7}, Number: w.Number}}
	for range 5 {
		if err := s.Logout(t.Context(), over); err == nil {
			t.Error("the gateway does not hear of it")
		}
	}
	wantStat(t, s, "failed.logout", 5)
	if n := l.count(); n != 1 {
		t.Errorf("%d lines", n)
	}
	d.unbind = nil
	if err := s.Logout(t.Context(), over); err != nil {
		t.Error(err)
	}
	if err := s.Logout(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
