package load

import "testing"

// Who comes back when a connection is lost has all addresses to come back to.
func TestAddressesOfUsers(t *testing.T) {
	s := Server{Address: "a:1,b:2"}
	for i, lean := range []string{"a:1", "b:2", "a:1"} {
		if got := s.at(i, false); got != lean {
			t.Errorf("lean user %d goes to %q, want %q", i, got, lean)
		}
		if got := s.at(i, true); got != s.Address {
			t.Errorf("user %d of the SDK goes to %q", i, got)
		}
	}
}
