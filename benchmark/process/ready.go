package process

import (
	"encoding/json"
	"fmt"
	"os"
)

// Ready is what a child writes to its ready file once it listens.
type Ready struct {
	Listen string `json:"listen"`
	TLS    string `json:"tls"` // address with TLS, where there is one
	PID    int    `json:"pid"`
	Debug  string `json:"debug"` // address of the debug endpoint, where there is one
}

// WriteReady writes the ready file, whole or not at all: what a child does.
func WriteReady(file string, r Ready) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return nil
}
