package command

import (
	"fmt"
	"path/filepath"
	"time"

	"gannet/internal/token"
)

// defaultTTL is how long a token lasts unless told otherwise: a month, in which a
// device that is used at all asks for a new one.
const defaultTTL = 30 * 24 * time.Hour

type tokenCmd struct {
	User uint64        `required:"" placeholder:"ID" help:"User that the token lets in; any number but 0."`
	TTL  time.Duration `default:"720h" name:"ttl" placeholder:"DURATION" help:"How long it is good for."`
	Data string        `default:"./gannet-data" placeholder:"DIR" help:"Data folder of the server, whose key signs."`
}

// leastTTL is the least --ttl: a token says in whole seconds until when it is good.
const leastTTL = time.Second

// Validate refuses settings that cannot be meant.
func (c *tokenCmd) Validate() error {
	if c.TTL < leastTTL {
		return fmt.Errorf("--ttl %v: it is at least %v, because a token says in whole seconds until when it is good", c.TTL, leastTTL)
	}
	return nil
}

// Run prints the token.
func (c *tokenCmd) Run() error {
	token, err := sign(c.Data, c.User, c.TTL)
	if err != nil {
		return err
	}
	fmt.Println(token)
	return nil
}

// sign makes a token with the signing key in a server's data folder.
func sign(data string, user uint64, ttl time.Duration) (string, error) {
	if user == 0 {
		return "", fmt.Errorf("user 0 does not exist: users are numbers from 1")
	}
	keys, err := token.LoadKeys(filepath.Join(data, "keys"))
	if err != nil {
		return "", fmt.Errorf("no signing key: %w (start the server once, or name its folder with --data)", err)
	}
	return keys.Sign(user, ttl, time.Now())
}
