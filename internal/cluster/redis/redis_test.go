//go:build cluster

package redis_test

import (
	"testing"
	"time"

	"gannet/internal/cluster"
	"gannet/internal/cluster/conformance"
	clusterredis "gannet/internal/cluster/redis"
	"gannet/internal/redis"
	"gannet/internal/redis/redistest"
)

func TestConformance(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		open := func(t *testing.T) conformance.Place {
			client, prefix := redistest.Client(t, addresses...), redistest.Prefix(t, addresses...)
			of := func(name string) clusterredis.Copy { return clusterredis.Copy{Client: client, Name: prefix + name} }
			return conformance.Place{
				Copy: func(name string) cluster.Copy { return of(name) },
				Away: func() cluster.Copy {
					gone, err := redis.New(redis.Options{Addresses: []string{"127.0.0.1:1"}, Timeout: time.Second})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { gone.Close() })
					return clusterredis.Copy{Client: gone, Name: prefix + "a"}
				},
				Damage: func(text string) {
					if err := client.Set(t.Context(), prefix+"a:plan", text, 0).Err(); err != nil {
						t.Fatal(err)
					}
				},
			}
		}
		conformance.Copy(t, open)
		conformance.Deciding(t, open)
	})
}
