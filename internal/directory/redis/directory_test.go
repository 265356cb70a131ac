//go:build cluster

package redis_test

import (
	"testing"

	"gannet/internal/directory"
	"gannet/internal/directory/directorytest"
	"gannet/internal/directory/redis"
	"gannet/internal/redis/redistest"
)

func open(t testing.TB, addresses ...string) *redis.Directory {
	t.Helper()
	return redis.New(redistest.Client(t, addresses...), redis.Options{Prefix: redistest.Prefix(t, addresses...)})
}

func TestDirectory(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		directorytest.Test(t, func(t *testing.T) directory.Directory { return open(t, addresses...) })
	})
}

// openAt gives the directory of a prefix as one more process sees it.
func openAt(t testing.TB, prefix string, addresses ...string) *redis.Directory {
	t.Helper()
	return redis.New(redistest.Client(t, addresses...), redis.Options{Prefix: prefix})
}

// TestManyAtOnce: a call may have more than goes out at once, of the same users too.
func TestManyAtOnce(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		d := open(t, addresses...)
		const users = 3000
		var binds []directory.Bind
		var lookups []directory.Lookup
		for user := uint64(1); user <= users; user++ {
			binds = append(binds, bindOf(user, 1, 1, 7, user), bindOf(user, 1, 2, 7, user+users))
			lookups = append(lookups, directory.Lookup{User: user}, directory.Lookup{User: user + users})
		}
		for i, got := range bind(t, d, binds...) {
			want := directory.Bound{}
			if i%2 == 1 {
				want.Replaced = binds[i-1].At
			}
			if got != want {
				t.Fatalf("bind %d came to %+v, want %+v", i, got, want)
			}
		}
		answers, devices, err := d.Devices(t.Context(), lookups, nil, nil)
		if err != nil || len(answers) != 2*users || len(devices) != users {
			t.Fatalf("%d answers and %d devices, %v", len(answers), len(devices), err)
		}
		for i, a := range answers {
			got := devices[a.Devices.Start:a.Devices.End]
			if i%2 == 1 && len(got) != 0 || i%2 == 0 && (len(got) != 1 || got[0].User != lookups[i].User || got[0].At.Conn != lookups[i].User+users) {
				t.Fatalf("answer %d is %+v", i, got)
			}
		}
		wantCount(t, d, users, users)
		if err := d.Unbind(t.Context(), binds); err != nil {
			t.Fatal(err)
		}
		wantCount(t, d, 0, 0)
	})
}
