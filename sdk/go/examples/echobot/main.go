// Command echobot is a bot that answers each text with the same text.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"time"

	"gannet/sdk/go"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:7420", "the server")
	token := flag.String("token", "", "the bot's token")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	c, err := gannet.Dial(ctx, *addr, *token, gannet.WithPlatform(gannet.PlatformBot), gannet.WithName("echobot"))
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			log.Print(err)
			break
		}
		if m.Content != gannet.ContentText || m.Sender == c.User() {
			continue
		}
		if _, err := c.Send(ctx, m.Conversation, gannet.Text(m.Text())); err != nil {
			log.Print(err)
		}
	}

	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.Close(closing); err != nil {
		log.Print(err)
	}
	if err := c.Err(); err != nil {
		log.Fatal(err)
	}
}
