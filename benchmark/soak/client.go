package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"gannet/benchmark/meter"
	gannet "gannet/sdk/go"
)

// Clients come back faster than they would to a real server, so that the time is spent
// on messages.
const (
	backoffMin = 20 * time.Millisecond
	backoffMax = 500 * time.Millisecond
)

// refuseOne in so many messages is sent back the first time that it comes.
const refuseOne = 300

var errNotNow = errors.New("not now")

// client is a client of the app, its store and its diary.
type client struct {
	app    *App
	user   uint64
	last   uint64 // id that was offered
	diary  *diary
	store  *gannet.FileStore
	client *gannet.Client
}

// begin opens what a client left behind, and makes it anew.
func (a *App) begin(user uint64, token string) (*client, error) {
	c := &client{app: a, user: user}
	var err error
	if c.diary, c.last, err = openDiary(a.Dir, user); err != nil {
		return nil, err
	}
	if err := c.diary.note(life, "", uint64(os.Getpid())); err != nil {
		return nil, err
	}
	if c.store, err = gannet.NewFileStore(filepath.Join(a.Dir, fmt.Sprint("user-", user, ".store"))); err != nil {
		return nil, err
	}
	c.client, err = gannet.New(a.Address, token,
		gannet.WithStore(c.store), gannet.WithBackoff(backoffMin, backoffMax),
		gannet.WithPlatform(gannet.PlatformBot), gannet.WithName("gannet bench soak"),
		gannet.WithHandler(gannet.Handler{Message: c.message, Outcome: c.outcome, Event: c.event}))
	return c, err
}

// run connects, sends until sending ends, and receives until ctx ends.
func (c *client) run(ctx, sending context.Context) error {
	connecting := make(chan error, 1)
	go func() { connecting <- c.client.Connect(ctx) }()
	err := c.send(sending)
	select {
	case <-ctx.Done():
	case <-c.client.Done():
		err = errors.Join(err, fmt.Errorf("user %d: the client ended by itself: %w", c.user, c.client.Err()))
	}
	<-connecting
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := errors.Join(err, c.client.Close(closing), c.store.Close()); err != nil {
		return errors.Join(err, c.diary.note(trouble, err.Error()))
	}
	return c.diary.note(closed, "")
}

// send writes to the partner until ctx ends.
func (c *client) send(ctx context.Context) error {
	to := gannet.User(partner(c.user))
	for meter.Rest(ctx, rand.N(2*c.app.Pause)) == nil {
		id := c.last + 1
		if err := c.diary.note(offered, "", id); err != nil {
			return err
		}
		c.last = id
		draft := gannet.Draft{ID: id, Content: gannet.ContentCustom, Body: make([]byte, c.app.Size)}
		if _, err := c.client.Post(ctx, to, draft); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("user %d: message %d was not taken: %w", c.user, id, err)
		}
		if err := c.diary.note(taken, "", id); err != nil {
			return err
		}
	}
	return nil
}

// message handles a message: the app may die anywhere in it.
func (c *client) message(ctx context.Context, _ *gannet.Client, m gannet.Message) error {
	if err := c.diary.note(begun, "", m.Sender, m.ID, m.Seq); err != nil {
		return err
	}
	if rand.N(refuseOne) == 0 {
		if err := c.diary.note(refused, "", m.Sender, m.ID); err != nil {
			return err
		}
		return errNotNow
	}
	_ = meter.Rest(ctx, rand.N(2*c.app.Handle+1))
	if err := c.client.MarkRead(m.Conversation, m.Seq); err != nil && !errors.Is(err, gannet.ErrClosed) {
		return c.diary.note(trouble, fmt.Sprint("cannot mark as read: ", err))
	}
	return c.diary.note(done, "", m.Sender, m.ID)
}

// outcome hears what became of a message, in this life or one before.
func (c *client) outcome(_ context.Context, _ *gannet.Client, o gannet.Outcome) {
	if o.Err != nil {
		_ = c.diary.note(lost, o.Err.Error(), o.ID)
		return
	}
	_ = c.diary.note(acked, "", o.ID, o.Ack.Seq)
}

// event notes when everything from before is there.
func (c *client) event(_ context.Context, _ *gannet.Client, e gannet.Event) {
	if e.Kind == gannet.EventCaughtUp {
		_ = c.diary.note(caughtUp, "")
	}
}
