package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
)

const (
	// looksAtOnce is how many queues are examined at the same time. This is mostly waiting for the
	// broker to give records that it may have lost.
	looksAtOnce = 64

	// givesAtOnce is how many queues give up their losses at the same time. Each has some appends
	// in flight, and some thousand conversations in memory.
	givesAtOnce = 4

	// tellPause is the time between two progress lines.
	tellPause = 3 * time.Second

	// mostTold is how many queues at most a progress line names.
	mostTold = 4
)

// progress says how far the work on all queues has come.
type progress struct {
	mu    sync.Mutex
	queue []chain.Queue          // in the order in which they began, finished ones too
	doing map[chain.Queue]string // what is done for them
	over  int
}

// does notes what is done for a queue just now.
func (p *progress) does(queue chain.Queue, what string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.doing[queue]; ok {
		p.doing[queue] = fmt.Sprintf(what, args...)
	}
}

func (p *progress) begins(queue chain.Queue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doing == nil {
		p.doing = map[chain.Queue]string{}
	}
	p.queue = append(p.queue, queue)
	p.doing[queue] = "begins"
}

func (p *progress) ends(queue chain.Queue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.doing, queue)
	p.over++
}

// line gives a progress line.
func (p *progress) line(what string, of int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d of %d queues are done", what, p.over, of)
	named := 0
	for _, queue := range p.queue {
		doing, ok := p.doing[queue]
		if !ok {
			continue
		}
		if named++; named > mostTold {
			b.WriteString("; …")
			break
		}
		fmt.Fprintf(&b, "; %v %s", queue, doing)
	}
	return b.String()
}

// each calls do for every queue, for atOnce queues at the same time, and prints a progress line
// every few seconds. If one queue fails, the others go on.
func (m *mending) each(what string, queues []chain.Queue, atOnce int, do func(queue chain.Queue) error) error {
	m.progress = &progress{}
	ctx, cancel := context.WithCancel(context.Background())
	var telling, all sync.WaitGroup
	telling.Go(func() {
		for operate.Pause(ctx, tellPause) == nil {
			m.say("%s\n", m.progress.line(what, len(queues)))
		}
	})
	turns, errs := make(chan struct{}, atOnce), make([]error, len(queues))
	for i, queue := range queues {
		turns <- struct{}{}
		m.progress.begins(queue)
		all.Go(func() {
			defer func() { m.progress.ends(queue); <-turns }()
			if err := do(queue); err != nil {
				errs[i] = fmt.Errorf("%v: %w", queue, err)
			}
		})
	}
	all.Wait()
	cancel()
	telling.Wait()
	return errors.Join(errs...)
}

// say writes a line about what was found or done.
func (m *mending) say(line string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(m.out, line, args...)
}

// mends writes a line about something that was mended.
func (m *mending) mends(line string, args ...any) {
	m.say(line, args...)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mended++
}
