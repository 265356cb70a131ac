//go:build cluster

package redis_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"gannet/internal/directory"
	"gannet/internal/redis/redistest"
)

// TestLoginRacesSend: logins and look-ups of other processes race many thousand times,
// with a cache as transfer keeps one. A look-up that begins after a bind returned has
// that bind or a later one, and one that begins after an unbind never has what was taken
// out.
func TestLoginRacesSend(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		prefix := redistest.Prefix(t, addresses...)
		const users, logins, readers = 8, 1500, 4
		var returned [users]atomic.Uint64 // the connection that was bound last
		var over atomic.Bool
		var looks atomic.Int64
		var wg, reading sync.WaitGroup
		for range readers {
			d := openAt(t, prefix, addresses...)
			reading.Go(func() {
				var versions, known [users]uint64
				for !over.Load() {
					var before [users]uint64
					var lookups []directory.Lookup
					for u := range before {
						before[u] = returned[u].Load()
						lookups = append(lookups, directory.Lookup{User: uint64(u), Version: versions[u]})
					}
					answers, devices, err := d.Devices(t.Context(), lookups, nil, nil)
					if err != nil || len(answers) != users {
						t.Errorf("%d answers, %v", len(answers), err)
						return
					}
					looks.Add(1)
					for u, a := range answers {
						versions[u] = a.Version
						if !a.Same {
							known[u] = 0
							if a.Devices.End > a.Devices.Start {
								known[u] = devices[a.Devices.Start].At.Conn
							}
						}
						if known[u] < before[u] {
							t.Errorf("user %d is known to be at connection %d, and %d was bound before", u, known[u], before[u])
							return
						}
					}
				}
			})
		}
		for user := range uint64(users) {
			d := openAt(t, prefix, addresses...)
			wg.Go(func() {
				for conn := uint64(1); conn <= logins; conn++ {
					numbers, err := d.Draw(t.Context(), []uint64{user}, nil)
					if err != nil {
						t.Error(err)
						return
					}
					bound, err := d.Bind(t.Context(), []directory.Bind{bindOf(user, 1, numbers[0], 7, conn)}, nil)
					if err != nil || bound[0].Lost {
						t.Errorf("login %d of user %d: %+v, %v", conn, user, bound, err)
						return
					}
					returned[user].Store(conn)
				}
			})
		}
		wg.Wait()
		over.Store(true)
		reading.Wait()
		if looks.Load() < 100 {
			t.Errorf("only %d look-ups raced", looks.Load())
		}
	})
}
