package command

import (
	"fmt"

	"gannet/internal/hostport"
)

// checkAddresses says what is wrong with the addresses that a flag lists of servers, of which
// there has to be one.
func checkAddresses(flag, servers string, addresses []string) error {
	if len(addresses) == 0 || len(addresses) == 1 && addresses[0] == "" {
		return fmt.Errorf("--%s names no address: give one of %s at least, as HOST:PORT", flag, servers)
	}
	for _, address := range addresses {
		if err := hostport.Check(address); err != nil {
			return fmt.Errorf("--%s: %w", flag, err)
		}
	}
	return nil
}
