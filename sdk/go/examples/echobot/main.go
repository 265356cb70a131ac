// Command echobot answers each text with the same text. It may be killed at any moment:
// it misses nothing, and answers twice at most what it was answering then.
package main

import (
	"context"
	"flag"
	"log"

	"gannet/sdk/go"
)

func main() {
	addr, token := flag.String("addr", "127.0.0.1:7420", "the server"), flag.String("token", "", "the bot's token")
	dir := flag.String("store", "echobot-data", "folder that remembers how far the bot is")
	flag.Parse()
	log.Fatal(echo(context.Background(), *addr, *token, *dir))
}

func echo(ctx context.Context, addr, token, dir string) error {
	store, err := gannet.NewFileStore(dir)
	if err != nil {
		return err
	}
	defer store.Close()
	c, err := gannet.Dial(ctx, addr, token, gannet.WithStore(store), gannet.WithPlatform(gannet.PlatformBot))
	if err != nil {
		return err
	}
	defer c.Close(context.Background())
	for m, err := range c.Messages(ctx) {
		if err == nil && m.Content == gannet.ContentText && m.Sender != c.User() {
			_, err = c.Post(ctx, m.Conversation, gannet.Text(m.Text()))
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}
