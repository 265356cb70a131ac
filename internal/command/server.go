package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	"gannet/gateway"
	"gannet/internal/directory"
	"gannet/internal/folder"
	"gannet/internal/operate"
	"gannet/internal/token"
	"gannet/logic"
	logicstore "gannet/logic/embedded"
	"gannet/transfer"
	"gannet/transfer/embedded"
)

// server is every role in one process, composed.
type server struct {
	store *logicstore.Store
	debug *operate.Server
	front
	parts
}

// stopStore closes the store in the time that is left until storeTimeout. The parts that stop
// earlier may have used more time than ctx allows.
func (s *server) stopStore(ctx context.Context) error {
	ends, ok := ctx.Deadline()
	if !ok {
		return s.store.Close()
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), ends.Add(storeTimeout-stopTimeout))
	defer cancel()
	return s.store.CloseWithin(ctx)
}

// start brings everything up, the store first: it also keeps a second server off
// the same data.
func (c *serveCmd) start(log *slog.Logger) (s *server, err error) {
	s = &server{}
	defer func() {
		if err != nil {
			_ = s.stop() // what began is in order; why the start failed is what counts
		}
	}()
	var toGateway gateway.Config
	if err := c.apply(&toGateway); err != nil {
		return s, err
	}
	if err := s.holdData(c.Data, log); err != nil {
		return s, err
	}
	queues := c.Lanes
	if queues == 0 {
		queues = gateway.DefaultLanes()
	}
	limits := c.limiter() // the store asks it for new conversations, the gateway for the rest
	queue := embedded.NewQueue(queues)
	s.store, err = logicstore.Open(filepath.Join(c.Data, "db"), logicstore.Options{
		Queues: queues, Publish: queue.Put, Log: log, MinFree: c.minFree(), GiveUp: c.GiveUp, Limiter: limits,
		Devices: c.conversationDevices(),
	})
	var loss *logicstore.LossError
	if errors.As(err, &loss) && loss.Code != "" {
		return s, fmt.Errorf("%w; or, if there is none, give up what is missing for good and go on without it: start once with --give-up-lost-messages=%s", err, loss.Code)
	}
	if errors.Is(err, logicstore.ErrLocked) {
		holder := folder.Holder(filepath.Join(c.Data, "db", "LOCK"))
		return s, fmt.Errorf("another gannet is already running on %s (its store is in use by %s): stop it, or give this one its own folder with --data", c.Data, holder)
	} else if err != nil {
		return s, err
	}
	s.began("store", s.stopStore)
	s.began("queue", func(context.Context) error { queue.Close(); return nil })
	s.began("debug endpoint", func(context.Context) error { // here, because it shows how the others stop
		if s.debug != nil {
			s.debug.Stop()
		}
		return nil
	})
	keys, err := token.OpenKeys(filepath.Join(c.Data, "keys"))
	if err != nil {
		return s, err
	}
	if err := s.listen(&c.frontFlags); err != nil {
		return s, err
	}
	devices := directory.NewMemory()
	gate := &localGateway{}
	pusher := transfer.Start(transfer.Config{
		Queue: queue, Directory: devices, Gateways: gate, Queues: numbers(queues), Log: log,
	})
	s.began("transfer", func(context.Context) error { pusher.Stop(); return nil })
	identity := s.store.Identity()
	toLogic := logic.Config{
		Log: s.store, History: s.store, Inbox: s.store, Social: logic.Direct{},
		Receipts: pusher, Directory: devices, Gateways: gate, Tokens: keys,
		Queues: queues, Server: identity[:], Logger: log,
	}
	toGateway.Lanes, toGateway.Limiter, toGateway.Log = queues, limits, log
	c.setMemory(&toGateway)
	c.applyTo(&toGateway, &toLogic)
	rules := logic.New(toLogic)
	toGateway.Logic = rules
	g := gateway.New(toGateway)
	gate.gateway.Store(g)
	s.began("gateway", g.Stop)
	if c.Debug != "" {
		s.debug, err = operate.Start(c.Debug, operate.Sources{
			Version: version(),
			Vars: func() map[string]any {
				return map[string]any{"gateway": g.Stats(), "logic": rules.Stats(), "transfer": pusher.Stats(), "store": s.store.Stats()}
			},
			Unreadable:  func() any { return pusher.Unreadable() },
			Connections: func() uint64 { return g.Stats()["connections"] },
			Health:      s.store.Health,
			Ready:       s.ready,
			Log:         log,
		})
		if err != nil {
			return s, err
		}
	}
	if err := s.serve(&c.frontFlags, g); err != nil {
		return s, err
	}
	if c.ReadyFile != "" {
		if err := (ready{Listen: s.address, TLS: s.tlsAddress}).write(c.ReadyFile, s.debug); err != nil {
			return s, err
		}
	}
	return s, nil
}

// holdData makes the data folder, checks its rights and locks it for this process.
func (s *server) holdData(dir string, log *slog.Logger) error {
	if err := folder.Make(dir, 0o700); err != nil {
		return fmt.Errorf("cannot create the data folder: %w", err)
	}
	if err := folder.Check(dir); err != nil {
		return fmt.Errorf("the data folder is refused: %w", err)
	}
	if err := folder.Check(filepath.Join(dir, "db")); err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be unsafe although dir is not
		return fmt.Errorf("the folder of messages is refused: %w", err)
	}
	if readable, err := folder.Readable(dir); err != nil {
		return fmt.Errorf("cannot look at the data folder: %w", err)
	} else if readable {
		log.Warn("others can look into the data folder and may be able to read messages", "folder", dir, "do", "chmod go-rwx "+dir)
	}
	lock, err := folder.Hold(dir)
	switch {
	case err == nil:
		s.began("lock of the data folder", func(context.Context) error { return lock.Release() })
		if err := lock.Unnamed(); err != nil {
			log.Warn("the data folder is locked, but no file in it names this process", "folder", dir, "err", err)
		}
	case errors.Is(err, errors.ErrUnsupported):
		log.Warn("the data folder cannot be locked; only the lock in the store keeps a second server off", "folder", dir, "err", err)
	case errors.Is(err, folder.ErrLocked):
		return fmt.Errorf("another gannet is already running on %s (%w): stop it, or give this one its own folder with --data", dir, err)
	default:
		return fmt.Errorf("cannot lock the data folder: %w", err)
	}
	return nil
}

// ready gives the reason why this server should get no more clients, or nil. If the disk is too
// full for new messages, clients can still read, so the server stays ready. If the store has
// failed, the server is about to stop.
func (s *server) ready() error {
	switch {
	case s.stopping.Load():
		return errors.New("stopping")
	case !s.serving.Load():
		return errors.New("starting: not every address accepts clients yet")
	}
	return s.store.Err()
}

// minFree gives the store's own setting, which is in bytes and where 0 is the default.
func (c *serveCmd) minFree() int64 {
	if c.MinFree == 0 {
		return -1
	}
	return int64(c.MinFree) << 20
}

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
