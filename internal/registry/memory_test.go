package registry_test

import (
	"context"
	"sync"
	"testing"

	"gannet/internal/registry"
	"gannet/internal/registry/registrytest"
)

// process is a Memory that knows what was registered through it.
type process struct {
	*registry.Memory
	mu  sync.Mutex
	own []registry.Registration
}

func (p *process) Register(ctx context.Context, node registry.Node) (registry.Registration, error) {
	own, err := p.Memory.Register(ctx, node)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own = append(p.own, own)
	return own, err
}

func TestMemory(t *testing.T) {
	registrytest.Test(t, func(*testing.T) registrytest.Site {
		m := registry.NewMemory()
		return registrytest.Site{
			Open: func() registry.Registry { return &process{Memory: m} },
			Halt: func(r registry.Registry) {
				for _, own := range r.(*process).own {
					m.End(own.Epoch())
				}
			},
			Resume: func(registry.Registry) {},
		}
	})
}
