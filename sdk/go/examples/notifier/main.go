// Command notifier sends one text to some users and ends once all of it is on the
// server's disk: notifier --token T "the backup failed" 7 8 9.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	gannet "gannet/sdk/go"
	"log"
	"strconv"
)

func main() {
	addr, token := flag.String("addr", "127.0.0.1:7420", "the server"), flag.String("token", "", "the sender's token")
	if flag.Parse(); flag.NArg() < 2 {
		log.Fatal("usage: notifier --token T TEXT USER...")
	}
	if err := notify(context.Background(), *addr, *token, flag.Arg(0), flag.Args()[1:]); err != nil {
		log.Fatal(err)
	}
}

func notify(ctx context.Context, addr, token, text string, users []string) (failed error) {
	c, err := gannet.Dial(ctx, addr, token, gannet.WithPlatform(gannet.PlatformBot))
	if err != nil {
		return err
	}
	for _, user := range users {
		id, err := strconv.ParseUint(user, 10, 64)
		if err == nil {
			_, err = c.Send(ctx, gannet.User(id), gannet.Text(text))
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("user %s: %w", user, err))
		}
	}
	return errors.Join(failed, c.Close(ctx))
}
