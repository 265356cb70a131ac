//go:build cluster

package redis_test

import (
	"testing"

	"gannet/internal/directory"
	"gannet/internal/redis/redistest"
)

func BenchmarkDirectory(b *testing.B) {
	redistest.EachBench(b, func(b *testing.B, addresses []string) {
		d := open(b, addresses...)
		const users = 10_000
		var binds []directory.Bind
		for user := range uint64(users) {
			binds = append(binds, bindOf(user, 1, 1, 7, user))
		}
		bind(b, d, binds...)
		b.Run("Devices of 100", func(b *testing.B) {
			b.ReportAllocs()
			var lookups [100]directory.Lookup
			var answers []directory.Answer
			var devices []directory.Device
			next := uint64(0)
			for b.Loop() {
				for i := range lookups {
					next++
					lookups[i].User = next % users
				}
				var err error
				if answers, devices, err = d.Devices(b.Context(), lookups[:], answers[:0], devices[:0]); err != nil || len(devices) != 100 {
					b.Fatalf("%d devices, %v", len(devices), err)
				}
			}
		})
		for _, n := range []int{1, 100} {
			b.Run(map[int]string{1: "Bind of 1", 100: "Bind of 100"}[n], func(b *testing.B) {
				b.ReportAllocs()
				some := make([]directory.Bind, n)
				next := uint64(0)
				for b.Loop() {
					for i := range some {
						next++
						some[i] = bindOf(next%users, 1, next+1, 7, next)
					}
					bind(b, d, some...)
				}
			})
		}
		b.Run("Draw", func(b *testing.B) {
			for b.Loop() {
				if _, err := d.Draw(b.Context(), []uint64{1}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Count", func(b *testing.B) {
			for b.Loop() {
				if got, err := d.Count(b.Context()); err != nil || got.Users != users {
					b.Fatalf("%+v, %v", got, err)
				}
			}
		})
	})
}
