// Command notifier sends one text to some users and ends once all of it is on the
// server's disk: notifier --token T "the backup failed" 7 8 9.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"strconv"

	"gannet/sdk/go"
)

func main() {
	addr, token := flag.String("addr", "127.0.0.1:7420", "the server"), flag.String("token", "", "the sender's token")
	flag.Parse()
	if flag.NArg() < 2 {
		log.Fatal("usage: notifier --token T TEXT USER...")
	}
	if err := notify(context.Background(), *addr, *token, flag.Arg(0), flag.Args()[1:]); err != nil {
		log.Fatal(err)
	}
}

func notify(ctx context.Context, addr, token, text string, users []string) (err error) {
	c, err := gannet.Dial(ctx, addr, token, gannet.WithPlatform(gannet.PlatformBot))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	for _, user := range users {
		id, uerr := strconv.ParseUint(user, 10, 64)
		if _, serr := c.Send(ctx, gannet.User(id), gannet.Text(text)); uerr != nil || serr != nil {
			err = errors.Join(err, fmt.Errorf("user %s: %w", user, errors.Join(uerr, serr)))
		}
	}
	return err
}
